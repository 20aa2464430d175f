from frac_test import *
# imports run frac_test's table (LayerCAM 11); now gradient x input of the product's two nets and the product of both
def fwd(net,a):
    b=net.b; h=F.relu6(b._bn0(b._conv_stem((a*0.5).expand(-1,3,-1,-1))))
    for k in b._blocks: h=k(h)
    return torch.logsumexp(net.r*net.h(h)[:,0].flatten(1),1)/net.r
lc={n:norm(sm(fast(nets[n],X,11),8)) for n in ("p1","p2")}; rep("LC11 no TTA p1*p2",lc["p1"]*lc["p2"])
C=int(os.environ.get("COPIES","4")); G={n:np.zeros(X.shape,np.float32) for n in lc}; rng=np.random.default_rng(0)
for c in range(C):
    nz=rng.normal(0,.2,X.shape).astype(np.float32)
    for n in lc:
        for i in range(0,len(X),16):
            xb=X[i:i+16]; v=xb+nz[i:i+16]; a=T(v).requires_grad_(True); g,=torch.autograd.grad(fwd(nets[n],a).sum(),a); G[n][i:i+16]+=np.maximum(g[:,0].numpy()*(v-xb.min((1,2),keepdims=True)),0)
    g={n:norm(sm(G[n],8)) for n in lc}; print("copies",c+1,round(time.time()-t0)); rep("gxi p1*p2",g["p1"]*g["p2"]); rep("PRIMARY gxi p1*p2 x LC11 p1*p2 (no TTA)",g["p1"]*g["p2"]*lc["p1"]*lc["p2"]); rep("gxi p1*p2 x TTA LC11 p1*p2",g["p1"]*g["p2"]*m["p1"]*m["p2"])
