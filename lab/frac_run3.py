from frac_att import *
from prodnets import product_nets
import pickle
t0=time.time(); nets={"e16":load("frac_e16")}; nets["p1"],nets["p2"]=product_nets(); [m.requires_grad_(False) for m in nets.values()]
A,sco,_=pickle.load(open("/tmp/lab/frac_A.pkl","rb")); print(list(A))
for n in ("p2","p1","e16"):
    m=nets[n]; R_={}
    for _,dg,z,f in TT:
        for k,v in cams(m,warp(X,dg,z,f),(5,11)).items():
            if k[0]!="gradcam": R_[k]=R_.get(k,0)+warp(v,dg,z,f,True)/6
    for k,v in R_.items(): a=("tta",)+k+(n,); A[a]=v; print(a,"raw",round(time.time()-t0)," ".join("s%d %.3f"%(s,hit(sm(v,s)).mean()) for s in (4,8,16)),flush=True)
    pickle.dump((A,sco,dev),open("/tmp/lab/frac_A.pkl","wb"))
