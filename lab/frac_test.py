# SPLIT=val|test ; final choice on validation: see MODE
from frac_att import *
from prodnets import product_nets
t0=time.time(); p1,p2=product_nets(); nets={"p1":p1,"p2":p2,"e16":load("frac_e16")}; [m.requires_grad_(False) for m in nets.values()]
def fast(net,X,layer=11):
    out=[]; b=net.b
    for i in range(0,len(X),16):
        with torch.no_grad():
            with bf():
                h=F.relu6(b._bn0(b._conv_stem((T(X[i:i+16])*0.5).expand(-1,3,-1,-1))))
                for k in b._blocks[:5]: h=k(h)
            h=h.float()
            for k in b._blocks[5:layer]: h=k(h)
        A=h.detach().requires_grad_(True); h=A
        for k in b._blocks[layer:]: h=k(h)
        z=torch.logsumexp(net.r*net.h(h)[:,0].flatten(1),1).sum()/net.r; g,=torch.autograd.grad(z,A)
        out.append(F.interpolate((g.clamp(min=0)*A).sum(1).clamp(min=0).detach()[:,None],size=S,mode="bilinear",align_corners=False)[:,0].numpy())
    return np.concatenate(out)
L=int(os.environ.get("LAYER","11")); sg=float(os.environ.get("SG","8")); use=os.environ.get("NETS","p1,p2,e16").split(",")
views=int(os.environ.get("VIEWS","6")); m={n:norm(sm(tta(lambda q,v:fast(q,v,L),nets[n],X,views),sg)) for n in use}
sco=np.mean([infer(nets[n],X,flip=False)[0] for n in ("p1","p2")],0); hi=sco>np.median(sco)
def rep(n,a):
    h=hit(a); b=[h[np.random.default_rng(i).integers(0,len(h),len(h))].mean() for i in range(1000)]; print(n,"%.3f (%.3f-%.3f) of %d above median score %.3f below %.3f"%(h.mean(),*np.percentile(b,[2.5,97.5]),len(h),h[hi].mean(),h[~hi].mean()),flush=True)
print(os.environ.get("SPLIT","val"),"layer",L,"views",views,"sigma",sg,"N",N,"chance %.3f"%np.mean(D<=rad))
for n in use: rep(n,m[n])
rep("mean p1 p2",m["p1"]+m["p2"]); rep("product p1 p2",m["p1"]*m["p2"])
if "e16" in m: rep("mean of 3",m["p1"]+m["p2"]+m["e16"]); rep("product of 3",m["p1"]*m["p2"]*m["e16"])
print(round(time.time()-t0))
