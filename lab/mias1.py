from prep import *
t0=time.time()
x,o,t,M,known=prepared("xray_trauma","/tmp/m/mias.csv",["organ.method=breast","data.side=224","data.cohort=null","data.window=null"])
tr,va,te=(t.split==s for s in ("train","val","test")); Y=(t.label>0).astype(int)
print(x.shape,tr.sum(),va.sum(),te.sum(),Y.mean(),o.mean(),round(time.time()-t0),flush=True)
# all breasts to one side
for i in range(len(x)):
    c=o[i].sum(0); 
    if (c*np.arange(len(c))).sum()/max(1,c.sum())>len(c)/2: x[i]=x[i][:,::-1]; o[i]=o[i][:,::-1]; M[i]=M[i][:,::-1]
keras.utils.set_random_seed(0)
for bt in ("mean-blur2 contrast",):
    pass
net=classifier(224,filters=(12,24,48,96,96),blocks=(1,1,1,1,1),r=4.0)
dev=va|te
def log(e,l):
    if e%3==2: print(e,round(l,3),round(time.time()-t0),"val %.3f test %.3f"%(roc_auc_score(Y[va],predict(net,x[va],"logit",16)),roc_auc_score(Y[te],predict(net,x[te],"logit",16))),flush=True)
yb=np.flatnonzero(tr); pos=yb[Y[yb]>0]; neg=yb[Y[yb]==0]
idx=np.concatenate([np.repeat(pos,2),neg])
train_classifier(net,x[idx],Y[idx],epochs=24,bs=16,aug=dict(turns=False,shift=16,intensity=0.3),log=log)
k=np.flatnonzero(te&(Y>0)&(M.any((1,2))))
a=grad_input(net,x[k],np.broadcast_to(x[k].min((1,2,3),keepdims=True),x[k].shape),copies=8,sigma=6,bs=8)*o[k]
print("pointing",np.mean([m[np.unravel_index(v.argmax(),v.shape)] for v,m in zip(a,M[k])]),"chance",np.mean([(m&oo).sum()/oo.sum() for m,oo in zip(M[k],o[k])]))
