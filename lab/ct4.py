import numpy as np
from scipy import ndimage
d=np.load("/tmp/lab/ctw.npz"); med=np.flatnonzero((d["site"]=="medseg")&d["known"]&(d["y"]>0))
x=d["x"][med].astype(np.float32); o=d["o"][med]; M=d["M"][med]; tr=np.flatnonzero((d["split"]=="train")&(d["y"]==0))[::4]; xn=d["x"][tr].astype(np.float32); on=d["o"][tr]
dice=lambda a,b:2*(a&b).sum()/max(1,a.sum()+b.sum())
disk=lambda r:(np.hypot(*np.mgrid[-r:r+1,-r:r+1])<=r+.3)
print("lung area",o.mean((1,2)).mean(),"size x",x.shape,"lesion",M.sum((1,2)).mean()/o.sum((1,2)).mean())
half=np.arange(len(med))%2==0
def ev(nm,v,vn):
    cs=np.quantile(v[o],np.linspace(0.3,0.95,27)); ds=np.array([[dice((i>c)&oo,m) for i,oo,m in zip(v,o,M)] for c in cs])
    b=ds[:,half].mean(1).argmax(); print(nm,"cut %.0f"%cs[b],"Dice half A %.3f half B %.3f all %.3f best-per-slice %.3f"%(ds[b,half].mean(),ds[b,~half].mean(),ds.mean(1).max(),ds.max(0).mean()),"normals marked %.3f"%np.mean([((i>cs[b])&oo).sum()/oo.sum() for i,oo in zip(vn,on)]),flush=True)
    return cs[b]
ev("raw",x,xn)
g=lambda v,s:np.stack([ndimage.gaussian_filter(i,s) for i in v])
inl=lambda v,oo:np.where(oo,v,0)
for s in (1,2): ev(f"gauss {s}",g(x,s),g(xn,s))
for r in (1,2,3,4):
    f=lambda v:np.stack([ndimage.grey_opening(i,footprint=disk(r)) for i in v])
    ev(f"opening {r}",f(x),f(xn))
    f2=lambda v,oo:np.stack([ndimage.grey_closing(ndimage.grey_opening(np.where(q,i,0),footprint=disk(r)),footprint=disk(2)) for i,q in zip(v,oo)])
    ev(f"opening inside {r} + closing 2",f2(x,o),f2(xn,on))
for k in (5,9,13):
    f=lambda v:np.stack([ndimage.median_filter(i,size=k) for i in v])
    ev(f"median {k}",f(x),f(xn))
    f=lambda v,oo:np.stack([ndimage.percentile_filter(np.where(q,i,0),30,size=k) for i,q in zip(v,oo)])
    ev(f"perc30 inside {k}",f(x,o),f(xn,on))
