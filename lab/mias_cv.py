from mcom import *
E_=os.environ.get; NAME=E_("NAME","v0"); EP=int(E_("EP","20")); LR=float(E_("LR","1e-3")); ST=int(E_("STOP","11")); R=float(E_("R","2")); AS=E_("ASYM"); FOLDS=int(E_("FOLDS","4")); t0=time.time()
if AS:
    # second channel: the other breast of the patient, mirrored to the same side, smoothed; here subtracted inside the network's three channels
    x=np.stack([x,x[other],x-np.stack([ndimage.gaussian_filter(v,6) for v in x[other]])],1)
print(NAME,x.shape,"dev",dv.sum(),y[dv].sum(),[(int((fold==f).sum()),int(y[fold==f].sum())) for f in range(4)],"les",len(les),"chance %.3f"%chance(les),flush=True)
z=np.full(len(x),np.nan); at=np.zeros(M.shape,np.float16); ev=np.zeros(M.shape,np.float16)
for f in range(FOLDS):
    T=dv&(fold!=f); V=np.flatnonzero(fold==f); rng=np.random.default_rng(f); torch.manual_seed(f)
    def draw(e):
        p=np.flatnonzero(T&(y>0)); n=np.flatnonzero(T&(y==0)); k=max(len(p),len(n)); return np.stack([np.resize(rng.permutation(p),k),np.resize(rng.permutation(n),k)],1).ravel()
    net=Net(stop=ST,r=R).to(memory_format=torch.channels_last)
    train(net,x,y,draw,EP,lr=LR,seed=f,every=5,flip=False,rot=15,shift=0.06,log=lambda e,l:print(f,e,round(l,3),round(time.time()-t0),"%.3f"%roc_auc_score(y[V],infer(net,x[V],flip=False)[0]),flush=True))
    torch.save(net.state_dict(),f"/tmp/lab/mias_{NAME}_f{f}.pt")
    z[V],e=infer(net,x[V],flip=False); ev[V]=np.stack([ndimage.zoom(v,384/len(v),order=1) for v in e])
    L=V[y[V]>0]; at[L]=gxi(net,x[L],"black",sigma=0)*1e2
    if f==FOLDS-1 or f==1: 
        D=dv&~np.isnan(z); k=les[np.isin(les,np.flatnonzero(D))]; print(f,auc(z,D))
        for s in (6,8,12,16): print("sigma",s,"gxi %.3f"%pt([ndimage.gaussian_filter(at[i].astype(np.float32),s) for i in k],k).mean(),"gxi x sigmoid(ev) %.3f"%pt([ndimage.gaussian_filter(at[i].astype(np.float32),s)/(1+np.exp(-R*ev[i].astype(np.float32))) for i in k],k).mean(),flush=True)
        print("evidence %.3f of %d"%(pt(ev[k].astype(np.float32),k).mean(),len(k)),flush=True)
np.savez(f"/tmp/lab/mias_{NAME}.npz",z=z,at=at,ev=ev)
