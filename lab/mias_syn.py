from mcom import *
E_=os.environ.get; NAME=E_("NAME","syn"); EP=int(E_("EP","12")); LR=float(E_("LR","1e-3")); ST=int(E_("STOP","11")); R=float(E_("R","4")); SYN=float(E_("SYN","0.5")); FOLDS=int(E_("FOLDS","4")); t0=time.time()
def blob(rng,S=384):
    r=np.exp(rng.uniform(np.log(7),np.log(32))); n=int(4*r)|1; yy,xx=np.mgrid[:n,:n]-n//2
    th=rng.uniform(0,np.pi); el=rng.uniform(0.65,1); u=(xx*np.cos(th)+yy*np.sin(th)); v=(-xx*np.sin(th)+yy*np.cos(th))/el
    w=ndimage.gaussian_filter(rng.normal(size=(n,n)),r/4); w/=w.std()
    ph=np.arctan2(v,u); k=rng.integers(6,16); sp=rng.uniform(0,0.35)*np.cos(k*ph+rng.uniform(0,6.28)+0.5*w)
    q=np.hypot(u,v)/r*(1+0.15*w+sp); b=1/(1+np.exp((q-1)/rng.uniform(0.08,0.3)))
    b*=1+0.15*ndimage.gaussian_filter(rng.normal(size=(n,n)),1.5)*3
    return (b*rng.uniform(0.25,1.1)).astype(np.float32)
def synth(v,om,rng):
    v=v.copy(); S=384
    inn=ndimage.binary_erosion(om,iterations=8); ii=np.flatnonzero(inn if inn.any() else om); c=rng.choice(ii); b=blob(rng); n=len(b); y0,x0=c//S-n//2,c%S-n//2
    a0,a1,b0,b1=max(0,y0),min(S,y0+n),max(0,x0),min(S,x0+n); v[a0:a1,b0:b1]+=b[a0-y0:a1-y0,b0-x0:b1-x0]*om[a0:a1,b0:b1]; return v
if __name__=="__main__":
    print(NAME,dv.sum(),y[dv].sum(),[(int((fold==f).sum()),int(y[fold==f].sum())) for f in range(4)],"les",len(les),"chance %.3f"%chance(les),flush=True)
    z=np.full(len(x),np.nan); at=np.zeros(M.shape,np.float32); ev=np.zeros(M.shape,np.float32)
    for f in range(FOLDS):
        T=dv&(fold!=f); V=np.flatnonzero(fold==f); rng=np.random.default_rng(f); torch.manual_seed(f)
        net=Net(stop=ST,r=R).to(memory_format=torch.channels_last)
        p=np.flatnonzero(T&(y>0)); n=np.flatnonzero(T&(y==0)); k=len(n); ns=int(round(k*SYN))
        # the arrays that train() reads: real rows first, then ns rows refilled with new synthetic lesions every epoch
        xs=np.concatenate([x,np.zeros((ns,384,384),np.float32)]); ys=np.concatenate([y,np.ones(ns,int)])
        def draw(e):
            pos=np.resize(rng.permutation(p),k-ns)
            for j,i in enumerate(rng.permutation(n)[:ns]): xs[len(x)+j]=synth(x[i],o[i],rng)
            pos=rng.permutation(np.concatenate([pos,len(x)+np.arange(ns)])); return np.stack([pos,rng.permutation(n)],1).ravel()
        train(net,xs,ys,draw,EP,lr=LR,seed=f,every=4,flip=False,rot=15,shift=0.06,log=lambda e,l:print(f,e,round(l,3),round(time.time()-t0),"%.3f"%roc_auc_score(y[V],infer(net,x[V],flip=False)[0]),flush=True))
        torch.save(net.state_dict(),f"/tmp/lab/mias_{NAME}_f{f}.pt")
        z[V],e=infer(net,x[V],flip=False); ev[V]=np.stack([ndimage.zoom(v,384/len(v),order=1,grid_mode=True,mode="nearest") for v in e])
        L=V[y[V]>0]; at[L]=gxi(net,x[L],"black",sigma=0)*1e2
        D=dv&~np.isnan(z); k_=les[np.isin(les,np.flatnonzero(D))]; print(f,auc(z,D),flush=True)
        np.savez(f"/tmp/lab/mias_{NAME}.npz",z=z,at=at.astype(np.float16),ev=ev.astype(np.float16))
    for s in (4,6,8,12,16): print("sigma",s,"gxi %.3f"%pt([ndimage.gaussian_filter(at[i],s) for i in k_],k_).mean(),"gxi x sigmoid(ev) %.3f"%pt([ndimage.gaussian_filter(at[i],s)/(1+np.exp(-R*ev[i])) for i in k_],k_).mean(),flush=True)
    print("evidence %.3f of %d"%(pt(ev[k_],k_).mean(),len(k_)),"organ-masked maximum of gxi",flush=True)
