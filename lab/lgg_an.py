import numpy as np, glob
from scipy import ndimage
D=lambda a,b: 2*(a&b).sum()/max(1,a.sum()+b.sum())
vols=[]
for f in sorted(glob.glob("/tmp/lab/lgg_f*.npz")):
    z=np.load(f); thr=float(z["thr"])
    for p in sorted({k.split("/")[0] for k in z.files if "/" in k}):
        vols.append(dict(p=p,thr=thr,img=z[p+"/img"].astype(np.float32),o=z[p+"/o"],v=z[p+"/vol"].astype(np.float32),raw=z[p+"/raw"].astype(np.float32),m=z[p+"/m"]))
print(len(vols))
base=[D(v["v"]>=v["thr"],v["m"]) for v in vols]
grid=np.linspace(0.05,0.95,37)
best=[max(D(v["v"]>=c,v["m"]) for c in grid) for v in vols]
pr=[((v["v"]>=v["thr"])&v["m"]).sum()/max(1,(v["v"]>=v["thr"]).sum()) for v in vols]; se=[((v["v"]>=v["thr"])&v["m"]).sum()/max(1,v["m"].sum()) for v in vols]
print("global %.3f best per volume %.3f prec %.3f sens %.3f"%(np.mean(base),np.mean(best),np.mean(pr),np.mean(se)))
for c in grid[::3]: print("%.2f %.3f"%(c,np.mean([D(v["v"]>=c,v["m"]) for v in vols])),end="; ")
print()
def flair(v): return ndimage.gaussian_filter(v["img"][...,1],(0,0.7,0.7))
def grow(v,low,k,iters=12):
    """grow from mask within raw prob > low: accept voxels with FLAIR above halfway cut between inside median and ring median"""
    m=v["v"]>=v["thr"]; o=v["o"]; f=flair(v)
    if not m.any(): return m
    core=ndimage.binary_erosion(m,iterations=1); core=core if core.sum()>20 else m
    near=ndimage.binary_dilation(m,np.ones((3,3,3)),iterations=6)&o
    ring=ndimage.binary_dilation(m,np.ones((1,3,3)),iterations=6)&o&~ndimage.binary_dilation(m,np.ones((1,3,3)),iterations=2)
    a,b=np.median(f[core]),np.median(f[ring]) if ring.any() else 0
    cut=b+k*(a-b)
    g=(f>cut)&near&(v["v"]>=low)
    lab,n=ndimage.label(g|core,np.ones((3,3,3)))
    keep=np.unique(lab[core]); r=np.isin(lab,keep[keep>0])
    return ndimage.binary_opening(r,np.ones((1,2,2)))|core
for low in (0.0,0.05,0.1,0.2,0.3):
    for k in (0.3,0.4,0.5,0.6,0.7):
        print("low",low,"k",k,"%.3f"%np.mean([D(grow(v,low,k),v["m"]) for v in vols]),end="; ")
    print(flush=True)
