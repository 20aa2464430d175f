from fx import *
d=np.load("/tmp/lab/frac.npz"); S=320
x,M,y,split=d["x"],d["M"],d["y"],d["split"]
dev=np.flatnonzero((split==os.environ.get("SPLIT","val"))&(y>0))
X=F.interpolate(torch.from_numpy(x[dev].astype(np.float32))[:,None],size=S,mode="area")[:,0].numpy().astype(np.float16).astype(np.float32)
MM=F.interpolate(torch.from_numpy(M[dev].astype(np.float32))[:,None],size=S,mode="area")[:,0].numpy()>0.2
ok=MM.any((1,2)); X,MM=X[ok],MM[ok]; dev=dev[ok]
rad=8*S/224; D=np.stack([ndimage.distance_transform_edt(~m) for m in MM]); N=len(X)
def load(name,stop=16,r=2):
    n=Net(pre=False,stop=stop,r=r).to(memory_format=torch.channels_last); n.load_state_dict(torch.load(f"/tmp/lab/{name}.pt")); n.eval(); return n
def T(a): return torch.from_numpy(np.ascontiguousarray(a,np.float32))[:,None].contiguous(memory_format=torch.channels_last)
def hit(a): return np.array([dd[np.unravel_index(v.argmax(),v.shape)]<=rad for v,dd in zip(a,D)])
def sm(a,s): return np.stack([ndimage.gaussian_filter(v,s) for v in a]) if s else a
def rawgxi(net,X,base="black",copies=8,dev_=0.2,seed=0,power=False):
    return gxi(net,X,base,copies=copies,dev=dev_,sigma=0,seed=seed)
def ig(net,X,steps=12,base="blur"):
    out=np.zeros(X.shape,np.float32)
    for i in range(0,len(X),16):
        xb=X[i:i+16]; b=np.stack([ndimage.gaussian_filter(v,15) for v in xb]) if base=="blur" else np.broadcast_to(xb.min((1,2),keepdims=True),xb.shape)
        for t in (np.arange(steps)+.5)/steps:
            a=T(b+t*(xb-b)).requires_grad_(True); g,=torch.autograd.grad(net(a)[0].float().sum(),a); out[i:i+16]+=g[:,0].numpy()*(xb-b)/steps
    return np.maximum(out,0)
def cams(net,X,layers=(5,11,16),copies=1,dev_=0.2):
    """layer cam and grad cam at blocks; network run in float32 with gradients through all"""
    out={}; b=net.b
    for i in range(0,len(X),16):
        a=T(X[i:i+16]); acts={}
        h=(a*0.5).expand(-1,3,-1,-1).requires_grad_(True); h=F.relu6(b._bn0(b._conv_stem(h)))
        for j,k in enumerate(b._blocks[:net.stop]):
            h=k(h)
            if j+1 in layers: acts[j+1]=h
        e=net.h(h)[:,0]; z=torch.logsumexp(net.r*e.flatten(1),1).sum()/net.r
        gs=torch.autograd.grad(z,[acts[l] for l in layers])
        for l,g in zip(layers,gs):
            A=acts[l]
            m={"layercam":(g.clamp(min=0)*A).sum(1).clamp(min=0),"gradcam":(g.mean((2,3),keepdim=True)*A).sum(1).clamp(min=0),"gradxact":(g*A).sum(1).clamp(min=0)}
            for n,v in m.items(): out.setdefault((n,l),[]).append(F.interpolate(v.detach()[:,None],size=S,mode="bilinear",align_corners=False)[:,0].numpy())
    return {k:np.concatenate(v) for k,v in out.items()}
def occl(net,X,win,stride=16,blur=12):
    out=[]
    g=np.arange(stride//2,S,stride); yy,xx=np.mgrid[:S,:S]
    W=np.stack([np.exp(-0.5*(((yy-a)**2+(xx-c)**2)/(win/2.5)**2)) for a in g for c in g]).astype(np.float32)
    for v in X:
        bl=ndimage.gaussian_filter(v,blur); 
        with torch.no_grad(): z0=net(T(v[None]))[0].item(); zs=np.concatenate([net(T(v[None]*(1-W[i:i+50])+bl*W[i:i+50]))[0].float().numpy() for i in range(0,len(W),50)])
        dr=(z0-zs); m=(dr[:,None,None]*W).reshape(len(W),-1).sum(0)if 0 else dr.reshape(len(g),len(g)); out.append(ndimage.zoom(m,S/len(g),order=1,grid_mode=True,mode="nearest"))
    return np.stack(out)
TT=[("id",0,1,0),("flip",0,1,1),("r10",10,1,0),("r-10",-10,1,1),("z.9",0,.9,0),("z1.1",0,1.1,1)]
def warp(a,deg,z,f,inv=False):
    th=deg*np.pi/180; A=np.array([[np.cos(th)*z,-np.sin(th)*z],[np.sin(th)*z,np.cos(th)*z]]); 
    if f: A=A@np.diag([-1.,1.])
    if inv: A=np.linalg.inv(A)
    t=torch.zeros(len(a),2,3); t[:,:,:2]=torch.from_numpy(A).float()
    a=torch.from_numpy(np.ascontiguousarray(a,np.float32))[:,None]
    return F.grid_sample(a,F.affine_grid(t,a.shape,align_corners=False),padding_mode="zeros" if inv else "border",align_corners=False)[:,0].numpy()
def tta(fn,net,X,n=6):
    return np.mean([warp(fn(net,warp(X,d_,z,f)),d_,z,f,True) for _,d_,z,f in TT[:n]],0)
def norm(a): return np.maximum(a,0)/np.maximum(a.reshape(len(a),-1).max(1),1e-9)[:,None,None]
