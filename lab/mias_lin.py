from mcom import *
q=np.load("/tmp/lab/mias_fz.npz"); om=torch.from_numpy(q["om"]).flatten(2); f={5:q["f5"],11:q["f11"],16:q["f16"]}; t0=time.time()
def feats(which,asym,pool=5):
    out=[]
    for w in which:
        t=torch.from_numpy(f[w].astype(np.float32)); A,N=t.shape[:2]
        if t.shape[-1]!=24: t=F.interpolate(t.flatten(0,1),size=24,mode="bilinear").unflatten(0,(A,N))
        if asym:
            u=F.avg_pool2d(t[:,other].flatten(0,1),pool,1,pool//2,count_include_pad=False).unflatten(0,(A,N)); t=torch.cat([t,t-u],2) if asym==1 else t-u
        out.append(t)
    t=torch.cat(out,2); m=t[0][dv].mean((0,2,3),keepdim=True); s=t[0][dv].std((0,2,3),keepdim=True)+1e-6
    return ((t-m)/s).flatten(3).transpose(2,3).contiguous()   # A,N,576,C
def pool(e,m,r):
    v=torch.where(m,e,torch.tensor(-1e4)); return (torch.logsumexp(r*v,1)-torch.log(m.sum(1).float()))/r
def fit(X,T,r,wd,drop,steps,seed,lr,aug=True):
    torch.manual_seed(seed); C=X.shape[3]; w=torch.zeros(C,requires_grad=True); b=torch.zeros(1,requires_grad=True)
    opt=torch.optim.AdamW([w,b],lr=lr,weight_decay=wd); sch=torch.optim.lr_scheduler.OneCycleLR(opt,lr,total_steps=steps,pct_start=0.1)
    idx=torch.from_numpy(np.flatnonzero(T)); Y=torch.from_numpy(y.astype(np.float32)); pos=idx[Y[idx]>0]; neg=idx[Y[idx]==0]
    for s in range(steps):
        i=torch.cat([pos[torch.randint(len(pos),(12,))],neg[torch.randint(len(neg),(12,))]]); a=torch.randint(X.shape[0] if aug else 1,(24,))
        k=(torch.rand(24,C)>drop).float()/(1-drop); e=torch.bmm(X[a,i],(k*w)[:,:,None])[:,:,0]+b
        l=F.binary_cross_entropy_with_logits(pool(e,om[a,i],r),Y[i]*0.9+0.05); opt.zero_grad(); l.backward(); opt.step(); sch.step()
    return w.detach(),b.detach(),l.item()
def cv(which,asym,r,wd=0.1,drop=0.3,steps=400,seeds=2,lr=3e-3,save=None,pl=5,aug=True,X=None):
    X=feats(which,asym,pl); z=np.zeros(len(x)); ev=np.zeros((len(x),576)); W=[]; L=[]
    for fo in range(4):
        V=np.flatnonzero(fold==fo)
        for s in range(seeds):
            w,b,l=fit(X,dv&(fold!=fo),r,wd,drop,steps,s,lr,aug); L.append(l); e=X[0][V]@w+b; z[V]+=pool(e,om[0][V],r).numpy()/seeds; ev[V]+=e.numpy()/seeds; W.append((w,b))
    ev=ev.reshape(-1,24,24); up=[ndimage.zoom(ev[i],16,order=1,grid_mode=True,mode="nearest") for i in les]
    if save: np.savez(f"/tmp/lab/mias_{save}.npz",z=z,ev=ev,w=np.stack([w.numpy() for w,_ in W]),b=np.stack([b.numpy() for _,b in W]))
    print(which,"asym",asym,pl,"r",r,"wd",wd,"drop",drop,"steps",steps,"lr",lr,"aug",aug,"loss %.2f"%np.mean(L),auc(z),"evidence pointing %.3f"%pt(up,les).mean(),round(time.time()-t0),flush=True)
    return z,ev
if __name__=="__main__":
    print("chance %.3f of %d"%(chance(les),len(les)))
    exec(os.environ["RUN"])
