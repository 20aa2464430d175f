from common import *
from clamnet_tf.marking.refinement import METHODS, seeds_of
rows,X,M,Y,P=load("lidc_patches"); tr,va,te=split(P)
pt=np.flatnonzero(tr&(Y>0)); z=np.load("/tmp/lab/nod_att.npz"); a=z["a"]
org=np.ones((48,48),bool)
import itertools
for sm in (0,0.7):
  for name in METHODS:
    for share,reach in ((0.04,5),(0.04,8),(0.02,5),(0.02,8),(0.06,5)):
        t=time.time(); d=[];ar=[]
        for i,k in enumerate(pt[::3]):
            img=ndimage.gaussian_filter(X[k],sm) if sm else X[k]
            s=seeds_of(a[3*i],org,share=share,reach=reach); m=METHODS[name](img,a[3*i],s) if s else np.zeros((48,48),bool)
            d.append(dice(m,M[k]>0)); ar.append(m.mean())
        print(sm,name,share,reach,"Dice %.3f area %.3f ms %.1f"%(np.mean(d),np.mean(ar),1000*(time.time()-t)/len(d)),flush=True)
