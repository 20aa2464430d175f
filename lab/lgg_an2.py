exec(open("/tmp/lab/lgg_an.py").read().split("print(len(vols))")[0])
def flair(v,s): return ndimage.gaussian_filter(v["img"][...,1],(0,s,s))
base=np.array([D(v["v"]>=v["thr"],v["m"]) for v in vols])
def grow(v,low,k,reach,s,rin,rout,openit=True):
    m=v["v"]>=v["thr"]; o=v["o"]; f=flair(v,s)
    if not m.any(): return m
    e=ndimage.binary_erosion(m,np.ones((1,3,3))); core=e if e.sum()>20 else m
    near=ndimage.binary_dilation(m,np.ones((3,3,3)),iterations=reach)&o
    ring=ndimage.binary_dilation(m,np.ones((1,3,3)),iterations=rout)&o&~ndimage.binary_dilation(m,np.ones((1,3,3)),iterations=rin)
    a,b=np.median(f[core]),np.median(f[ring]) if ring.any() else 0
    g=(f>b+k*(a-b))&near&(v["v"]>=low)
    lab,n=ndimage.label(g|m,np.ones((3,3,3))); keep=np.unique(lab[m]); r=np.isin(lab,keep[keep>0])
    return (ndimage.binary_opening(r,np.ones((1,2,2))) if openit else r)|m
import sys
for kw in (dict(low=.3,k=.4,reach=6,s=.7,rin=2,rout=6),dict(low=.4,k=.4,reach=6,s=.7,rin=2,rout=6),dict(low=.5,k=.4,reach=6,s=.7,rin=2,rout=6),dict(low=.3,k=.4,reach=3,s=.7,rin=2,rout=6),dict(low=.3,k=.4,reach=6,s=1.2,rin=2,rout=6),dict(low=.3,k=.4,reach=6,s=.7,rin=4,rout=10),dict(low=.3,k=.4,reach=10,s=.7,rin=4,rout=10),dict(low=.3,k=.35,reach=6,s=.7,rin=2,rout=6),dict(low=.3,k=.4,reach=6,s=.7,rin=2,rout=6,openit=False),dict(low=.6,k=.35,reach=6,s=.7,rin=2,rout=6)):
    g=[grow(v,**kw) for v in vols]; d=np.array([D(a,v["m"]) for a,v in zip(g,vols)]); df=d-base
    print(kw,"%.3f diff %.3f up %d down %d worst %.3f"%(d.mean(),df.mean(),(df>0.01).sum(),(df<-0.01).sum(),df.min()),flush=True)
print([ "%s %.2f %.2f"%(v["p"][5:12],b,x) for v,b,x in zip(vols,base,d)])
