from prep import *
t0=time.time()
x,o,t,M,known=prepared("ct_pneumonia","/tmp/m/chest_ct.csv",["organ.method=lungs_ct","data.side=128","data.cohort=null","data.window=null"])
tr,va=t.split=="train",t.split=="val"; Y=(t.label>0).astype(int); te=(t.split=="test")
med=np.flatnonzero(te&known&(Y>0)); sp=te&(t.site=="sao_paulo")
print(x.shape,tr.sum(),va.sum(),len(med),"share of organ",M[med].sum()/o[med].sum(),"min",x.min(),"lesion in organ",(M[med]&o[med]).sum()/M[med].sum(),round(time.time()-t0),flush=True)
keras.utils.set_random_seed(0)
net=classifier(128,filters=(24,48,96,128),blocks=(1,1,2,2))
aug=dict(turns=False,shift=8)
train_classifier(net,x[tr],Y[tr],epochs=8,aug=aug,log=lambda e,l:print(e,round(l,3),round(time.time()-t0),"val %.3f sptest %.3f"%(roc_auc_score(Y[va],predict(net,x[va],"logit")),roc_auc_score(Y[sp],predict(net,x[sp],"logit"))),flush=True))
net.save_weights("/tmp/lab/ct_c.weights.h5")
def topo(a,o,share):
    out=np.zeros(a.shape,bool)
    for i in range(len(a)):
        v=np.where(o[i],a[i],0); k=v[o[i]]
        if k.size: out[i]=o[i]&(v>=np.quantile(k,1-share))
    return out
tp=np.flatnonzero(tr&(Y>0))
for n,bf in dict(black=lambda z:z.min((1,2,3),keepdims=True),mean=lambda z:np.zeros_like(z)).items():
    for sig in (3,5):
        b=np.broadcast_to(bf(x[med]),x[med].shape); a=grad_input(net,x[med],b,copies=8,sigma=sig,bs=16)*o[med]
        pt=np.mean([m[np.unravel_index(v.argmax(),v.shape)] for v,m in zip(a,M[med])])
        print(n,sig,"point %.3f"%pt," ".join("D@%.2f %.3f"%(s,np.mean([dice(p,m) for p,m in zip(topo(a,o[med],s),M[med])])) for s in (.1,.2,.3,.4)),"time",round(time.time()-t0),flush=True)
    if n=="black": np.save("/tmp/lab/ct_att_med.npy",a)
# intensity baselines inside lungs
img=ndimage.gaussian_filter(x[med][...,0],(0,1.5,1.5))
print("bright in lungs"," ".join("D@%.2f %.3f"%(s,np.mean([dice(p,m) for p,m in zip(topo(img,o[med],s),M[med])])) for s in (.1,.2,.3,.4)),flush=True)
for c in np.arange(-0.5,2,0.25): print("cut %.2f %.3f"%(c,np.mean([dice((i>c)&oo,m) for i,oo,m in zip(img,o[med],M[med])])),end=" ")
print("whole",np.mean([dice(oo,m) for oo,m in zip(o[med],M[med])]))
