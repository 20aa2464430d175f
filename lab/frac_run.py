from frac_att import *
from prodnets import product_nets
import pickle
t0=time.time(); nets={"e16":load("frac_e16")}; nets["p1"],nets["p2"]=product_nets()
va=np.flatnonzero(split=="val"); XV=F.interpolate(torch.from_numpy(x[va].astype(np.float32))[:,None],size=S,mode="area")[:,0].numpy()
sc={n:infer(m,XV)[0] for n,m in nets.items()}
for n in sc: print(n,"val AUROC %.3f"%roc_auc_score(y[va],sc[n]),flush=True)
print("N",N,"chance",np.mean(D<=rad), "time",round(time.time()-t0),flush=True)
sco={n:s[np.searchsorted(va,dev)] for n,s in sc.items()}
A={}
def add(k,a): A[k]=a.astype(np.float16)if 0 else a; print(k,"raw",round(time.time()-t0)," ".join("s%d %.3f"%(s,hit(sm(a,s)).mean()) for s in (0,4,6,8,12,16,24)),flush=True)
for n,m in nets.items():
    e=infer(m,X)[1]; add(("evidence",n),np.stack([ndimage.zoom(v,S/len(v),order=1,grid_mode=True,mode="nearest") for v in e]))
    for k,v in cams(m,X).items(): add((*k,n),v)
    add(("gxi black",n),rawgxi(m,X))
m=nets["e16"]
add(("gxi mean","e16"),rawgxi(m,X,"mean")); add(("gxi blur","e16"),rawgxi(m,X,"blur"))
add(("gxi black 1 copy no noise","e16"),rawgxi(m,X,copies=1,dev_=0.0))
add(("ig blur","e16"),ig(m,X)); add(("ig black","e16"),ig(m,X,base="black"))
pickle.dump((A,sco,dev),open("/tmp/lab/frac_A.pkl","wb"))
f=lambda nn,xx: rawgxi(nn,xx,copies=2)
for n,q in nets.items(): add(("tta gxi black",n),tta(f,q,X))
pickle.dump((A,sco,dev),open("/tmp/lab/frac_A.pkl","wb"))
