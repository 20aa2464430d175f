import os,sys; sys.path.insert(0,"/work/main")
import numpy as np
from scipy import ndimage
from clamnet_tf.data.normal_atlas import NormalAtlas
from clamnet_tf.imaging.crop import *
from skimage.measure import block_reduce
from sklearn.metrics import roc_auc_score
d=np.load("/tmp/lab/ctw.npz"); med=np.flatnonzero((d["site"]=="medseg")&d["known"]&(d["y"]>0)); ntr=np.flatnonzero((d["split"]=="train")&(d["y"]==0))[::3]; sv=np.flatnonzero(d["split"]=="val")[::2]
half=np.arange(len(med))%2==0; dice=lambda a,b:2*(a&b).sum()/max(1,a.sum()+b.sum())
for S in (128,):
    f=256//S
    def get(k): 
        x=d["x"][k].astype(np.float32)/255; o=d["o"][k]>0; M=d["M"][k]>0
        if f>1: x=block_reduce(x,(1,f,f),np.mean); o=block_reduce(o.astype(np.float32),(1,f,f),np.mean)>=.5; M=block_reduce(M.astype(np.float32),(1,f,f),np.mean)>=.5
        return (x*o)[...,None],o,M
    x,o,M=get(med); xn,on,_=get(ntr); xs,os_,_=get(sv); ys=d["y"][sv]
    for op,lv,sm in ((1.0,.15,0),(1.5,.15,0),(2.0,.15,0),(2.0,.05,0)):
        at=NormalAtlas.fit(xn,on,smoothing=sm,opening=op,level=lv)
        w=at.deviation(xn[:150],on[:150]); import clamnet_tf.data.normal_atlas as na; al=np.concatenate([na._levelled(i[...,0],oo,smoothing=sm,sign=1,opening=op,level=lv)[oo] for i,oo in zip(xn,on)]); mid,hi=np.percentile(al,[50,95]); at.middle[:]=mid; at.spread[:]=hi-mid; print('mid %.3f spread %.3f'%(mid,hi-mid))
        v=at.deviation(x,o); vn=at.deviation(xn[:150],on[:150]); vs=at.deviation(xs,os_)
        cs=np.linspace(-0.5,5,45); ds=np.array([[dice((i>c)&oo,m) for i,oo,m in zip(v,o,M)] for c in cs]); b=ds[:,half].mean(1).argmax()
        share=lambda v,oo:np.array([((i>cs[b])&m).sum()/max(1,m.sum()) for i,m in zip(v,oo)])
        print(S,op,lv,sm,"cut %.2f A %.3f B %.3f best/slice %.3f"%(cs[b],ds[b,half].mean(),ds[b,~half].mean(),ds.max(0).mean()),"at 1: %.3f at 1.5 %.3f"%(ds[np.abs(cs-1).argmin()].mean(),ds[np.abs(cs-1.5).argmin()].mean()),"normals %.3f covid %.3f AUROC %.3f"%(share(vn,on[:150]).mean(),share(vs[ys>0],os_[ys>0]).mean(),roc_auc_score(ys,share(vs,os_))),flush=True)
