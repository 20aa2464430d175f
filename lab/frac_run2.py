from frac_att import *
from prodnets import product_nets
import pickle
t0=time.time(); nets={"e16":load("frac_e16")}; nets["p1"],nets["p2"]=product_nets()
def fwd(net,a):
    b=net.b; h=F.relu6(b._bn0(b._conv_stem((a*0.5).expand(-1,3,-1,-1))))
    for k in b._blocks[:net.stop]: h=k(h)
    return torch.logsumexp(net.r*net.h(h)[:,0].flatten(1),1)/net.r
for m in nets.values(): m.requires_grad_(False)
def g32(net,X,base="black",copies=8,dev_=0.2,seed=0):
    rng=np.random.default_rng(seed); out=np.zeros(X.shape,np.float32)
    for i in range(0,len(X),16):
        xb=X[i:i+16]; b=xb.min((1,2),keepdims=True) if base=="black" else xb.mean((1,2),keepdims=True) if base=="mean" else np.stack([ndimage.gaussian_filter(v,15) for v in xb])
        for c in range(copies):
            n=xb+rng.normal(0,dev_,xb.shape).astype(np.float32) if dev_ else xb; a=T(n).requires_grad_(True); g,=torch.autograd.grad(fwd(net,a).sum(),a); out[i:i+16]+=np.maximum(g[:,0].numpy()*(n-b),0)/copies
    return out
sco={n:infer(m,X,flip=False)[0] for n,m in nets.items()}
print("N",N,"chance",np.mean(D<=rad),"time",round(time.time()-t0),flush=True)
A={}
def add(k,a): A[k]=a; print(k,"raw",round(time.time()-t0)," ".join("s%d %.3f"%(s,hit(sm(a,s)).mean()) for s in (4,6,8,12,16)),flush=True)
for n,m in nets.items():
    for k,v in cams(m,X,(3,5,11,16)).items():
        if k[0]!="gradcam" and k[1]!=16: add((*k,n),v)
    add(("gxi black",n),g32(m,X,copies=4))
    pickle.dump((A,sco,dev),open("/tmp/lab/frac_A.pkl","wb"))
for n,m in nets.items():
    R_={}
    for _,dg,z,f in TT:
        Xw=warp(X,dg,z,f)
        for k,v in cams(m,Xw,(3,5,11)).items():
            if k[0]!="gradcam": R_[k]=R_.get(k,0)+warp(v,dg,z,f,True)/6
        k=("gxi black",); R_[k]=R_.get(k,0)+warp(g32(m,Xw,copies=1),dg,z,f,True)/6
    for k,v in R_.items(): add(("tta",)+k+(n,),v)
    pickle.dump((A,sco,dev),open("/tmp/lab/frac_A.pkl","wb"))
m=nets["e16"]
add(("gxi mean","e16"),g32(m,X,"mean",copies=4)); add(("gxi blur","e16"),g32(m,X,"blur",copies=4))
for base in ("blur","black"):
    out=0
    b=np.stack([ndimage.gaussian_filter(v,15) for v in X]) if base=="blur" else np.broadcast_to(X.min((1,2),keepdims=True),X.shape)
    for t in (np.arange(6)+.5)/6:
        q=[]
        for i in range(0,N,16): a=T(b[i:i+16]+t*(X[i:i+16]-b[i:i+16])).requires_grad_(True); q.append(torch.autograd.grad(fwd(m,a).sum(),a)[0][:,0].numpy())
        out=out+np.concatenate(q)*(X-b)/6
    add(("ig "+base,"e16"),np.maximum(out,0))
pickle.dump((A,sco,dev),open("/tmp/lab/frac_A.pkl","wb")); print("done")
