from common import *
t0=time.time()
rows,X,M,Y,P=load("lidc_patches"); tr,va,te=split(P)
x=((X-X.mean((1,2),keepdims=True))/(X.std((1,2),keepdims=True)+1e-3))[...,None].astype(np.float32)
print(x.shape,tr.sum(),va.sum(),te.sum(),"lesion frac",M[Y>0].mean(), X.min(),X.max(),X.mean(),flush=True)
keras.utils.set_random_seed(0)
net=classifier(48)
train_classifier(net,x[tr],Y[tr],log=lambda e,l:print(e,round(l,3),round(time.time()-t0),flush=True))
for n,s in (("val",va),("test",te)):
    print(n,"AUROC",roc_auc_score(Y[s],predict(net,x[s],"logit")),flush=True)
net.save_weights("/tmp/lab/nod_c.weights.h5")
pv=va&(Y>0)
for base in ("mean","black"):
    b=np.zeros_like(x) if base=="mean" else x.min((1,2,3),keepdims=True)
    a=grad_input(net,x[pv],np.broadcast_to(b[pv] if base=="black" else b[pv],x[pv].shape)); print(base,score_maps(a,M[pv]),flush=True)
    r=np.stack([refine(i,v) for i,v in zip(X[pv],a)]); print("  refined Dice",np.mean([dice(p,m>0) for p,m in zip(r,M[pv])]),r.mean(),flush=True)
print(time.time()-t0)
