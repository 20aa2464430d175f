from mcom import *
q=np.load("/tmp/lab/mias_fz.npz"); om=torch.from_numpy(q["om"]); t0=time.time()
f={5:q["f5"],11:q["f11"],16:q["f16"]}
def feats(which,asym):
    out=[]
    for w in which:
        t=torch.from_numpy(f[w].astype(np.float32)); A,N=t.shape[:2]
        if t.shape[-1]!=24: t=F.interpolate(t.flatten(0,1),size=24,mode="bilinear").unflatten(0,(A,N))
        if asym:
            u=F.avg_pool2d(t[:,other].flatten(0,1),5,1,2,count_include_pad=False).unflatten(0,(A,N)); t=torch.cat([t,t-u],2)
        out.append(t)
    t=torch.cat(out,2); m=t[0][dv].mean((0,2,3),keepdim=True); s=t[0][dv].std((0,2,3),keepdim=True)+1e-6  # unlabelled statistics
    return (t-m)/s
def head(X,T,r,wd,hid,drop,steps,seed,maskorgan=True):
    torch.manual_seed(seed); C=X.shape[2]
    h=nn.Sequential(nn.Dropout2d(drop),nn.Conv2d(C,1,1)) if not hid else nn.Sequential(nn.Dropout2d(drop),nn.Conv2d(C,hid,1),nn.ReLU(),nn.Dropout2d(drop),nn.Conv2d(hid,1,1))
    nn.init.zeros_(h[-1].weight); nn.init.zeros_(h[-1].bias)
    opt=torch.optim.AdamW(h.parameters(),lr=3e-3,weight_decay=wd); sch=torch.optim.lr_scheduler.OneCycleLR(opt,3e-3,total_steps=steps,pct_start=0.1)
    g=torch.Generator().manual_seed(seed); idx=torch.from_numpy(np.flatnonzero(T)); Y=torch.from_numpy(y.astype(np.float32)); pos=idx[Y[idx]>0]; neg=idx[Y[idx]==0]
    for s in range(steps):
        b=torch.cat([pos[torch.randint(len(pos),(12,),generator=g)],neg[torch.randint(len(neg),(12,),generator=g)]]); a=torch.randint(X.shape[0],(24,),generator=g)
        h.train(); z,_=score(h,X[a,b],om[a,b],r); l=F.binary_cross_entropy_with_logits(z,Y[b]*0.9+0.05)
        opt.zero_grad(); l.backward(); opt.step(); sch.step()
    h.eval(); return h
def score(h,X,m,r):
    e=h(X)[:,0]; v=torch.where(m,e,torch.tensor(-1e4)).flatten(1)
    return (torch.logsumexp(r*v,1)-torch.log(m.flatten(1).sum(1).float()))/r, e
def cv(which,asym,r,wd=1e-1,hid=0,drop=0.3,steps=250,seeds=2,save=None):
    X=feats(which,asym); z=np.zeros(len(x)); ev=np.zeros((len(x),24,24))
    for fo in range(4):
        V=np.flatnonzero(fold==fo)
        for s in range(seeds):
            h=head(X,dv&(fold!=fo),r,wd,hid,drop,steps,s)
            with torch.no_grad(): zz,e=score(h,X[0][V],om[0][V],r); z[V]+=zz.numpy()/seeds; ev[V]+=e.numpy()/seeds
            if save: torch.save(h.state_dict(),f"/tmp/lab/mias_{save}_f{fo}s{s}.pt")
    up=[ndimage.zoom(ev[i],16,order=1) for i in les]
    if save: np.savez(f"/tmp/lab/mias_{save}.npz",z=z,ev=ev)
    print(which,"asym",asym,"r",r,"wd",wd,"hid",hid,auc(z),"evidence pointing %.3f"%pt(up,les).mean(),round(time.time()-t0),flush=True)
if __name__=="__main__":
    print("chance %.3f of %d"%(chance(les),len(les)))
    for w,a,r in (((11,),0,4),((11,),1,4),((16,),1,1),((5,11),1,4)): cv(w,a,r,steps=90,seeds=1)
