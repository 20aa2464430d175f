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
from sklearn.metrics import roc_auc_score
sv=np.flatnonzero((d["split"]=="val"))[::2]; xs=d["x"][sv].astype(np.float32); os_=d["o"][sv]; ys=d["y"][sv]
f2=lambda v,oo,r:np.stack([ndimage.grey_closing(ndimage.grey_opening(np.where(q,i,0),footprint=disk(r)),footprint=disk(2)) for i,q in zip(v,oo)])
pf=lambda v,oo,k:np.stack([ndimage.percentile_filter(np.where(q,i,0),30,size=k) for i,q in zip(v,oo)])
for nm,F in (("open3",lambda v,q:f2(v,q,3)),("perc9",lambda v,q:pf(v,q,9))):
    V,VN,VS=F(x,o),F(xn,on),F(xs,os_)
    for q in (5,15,30,50,None):
        for sc in ("none","body","iqr"):
            def N(w,v,oo):
                out=[]
                for a,i,m in zip(w,v,oo):
                    inn=a[m] if m.any() else np.zeros(1); b=np.percentile(inn,q) if q else 0
                    s={"none":60.,"body":max(20,np.percentile(i,90)-b),"iqr":max(5,np.percentile(inn,50)-np.percentile(inn,5))}[sc]
                    out.append((a-b)/s)
                return np.stack(out)
            v,vn,vs=N(V,x,o),N(VN,xn,on),N(VS,xs,os_)
            cs=np.quantile(v[o],np.linspace(0.3,0.95,27)); ds=np.array([[dice((i>c)&oo,m) for i,oo,m in zip(v,o,M)] for c in cs]); b=ds[:,half].mean(1).argmax()
            share=lambda v,oo:np.array([((i>cs[b])&m).sum()/max(1,m.sum()) for i,m in zip(v,oo)])
            print(nm,q,sc,"A %.3f B %.3f"%(ds[b,half].mean(),ds[b,~half].mean()),"normals %.3f"%share(vn,on).mean(),"val SP covid %.3f normal %.3f AUROC %.3f"%(share(vs[ys>0],os_[ys>0]).mean(),share(vs[ys==0],os_[ys==0]).mean(),roc_auc_score(ys,share(vs,os_))),flush=True)
