from fx import *
d=np.load("/tmp/lab/mias.npz"); x,M,o,y,split=d["x"].astype(np.float32),d["M"],d["o"],d["y"],d["split"]
import csv
for i in range(len(x)):
    c=o[i].sum(0)
    if (c*np.arange(len(c))).sum()/max(1,c.sum())>len(c)/2: x[i]=x[i][:,::-1]; o[i]=o[i][:,::-1]; M[i]=M[i][:,::-1]
tr,va,te=(split==s for s in ("train","val","test")); dv=va; t0=time.time()
print(x.shape,tr.sum(),va.sum(),te.sum(),y[tr].sum(),y[va].sum(),y[te].sum(),"range",x.min(),x.max(),flush=True)
def run(seed,EP,LR,stop,r):
    rng=np.random.default_rng(seed); torch.manual_seed(seed)
    # cross-fitting over 4 folds of the training+val patients would be better; here val only
    def draw(e):
        p=np.flatnonzero(tr&(y>0)); n=np.flatnonzero(tr&(y==0)); k=max(len(p),len(n)); return np.stack([np.resize(rng.permutation(p),k),np.resize(rng.permutation(n),k)],1).ravel()
    net=Net(stop=stop,r=r).to(memory_format=torch.channels_last)
    train(net,x,y,draw,EP,lr=LR,seed=seed,every=5,flip=False,rot=15,shift=0.06,log=lambda e,l:print(e,round(l,3),round(time.time()-t0),"val %.3f"%roc_auc_score(y[va],infer(net,x[va],flip=False)[0]),flush=True))
    return net
nets=[run(s,int(os.environ.get("EP","20")),1e-3,int(os.environ.get("STOP","11")),float(os.environ.get("R","2"))) for s in range(int(os.environ.get("SEEDS","2")))]
for nm,s in (("val",va),("test",te)) if os.environ.get("TEST") else (("val",va),):
    z=np.mean([infer(n,x[s],flip=False)[0] for n in nets],0); k=np.flatnonzero(s&(y>0)&M.any((1,2)))
    e=np.prod([np.maximum(gxi(n,x[k],"black",sigma=8),0) for n in nets],0)*o[k]
    ev=np.mean([np.stack([ndimage.zoom(v,384/len(v),order=1) for v in infer(n,x[k],flip=False)[1]]) for n in nets],0); ev=np.where(o[k],ev,-99)
    pt=lambda a: np.mean([m[np.unravel_index(v.argmax(),v.shape)] for v,m in zip(a,M[k])])
    print(nm,"AUROC %.3f gxi %.3f evidence %.3f chance %.3f n %d"%(roc_auc_score(y[s],z),pt(e),pt(ev),np.mean([(m&oo).sum()/oo.sum() for m,oo in zip(M[k],o[k])]),len(k)),flush=True)
