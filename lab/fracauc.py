import os,sys; os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"; sys.path.insert(0,"/work/wt-run")
import numpy as np
from pathlib import Path
from sklearn.metrics import roc_auc_score
from scipy import ndimage
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers
from clamnet_tf.networks.attribution_map import AttributionMap
from clamnet_tf.training import checkpoints
d=np.load("/tmp/lab/frac.npz"); 
from clamnet_tf.data.dataset import load_dataset
from clamnet_tf.progress import Reporter
r=load_recipe("/tmp/lab/xray_trauma_new.yaml",[])
man,p=load_dataset(r,data="/tmp/fracatlas/manifest.csv",labels=None,split_file=None,cache="/tmp/cache",reporter=Reporter(quiet=True))
t=p.table; y=(np.array(t.label)>0).astype(int); site=np.array(t.site); te=np.flatnonzero(np.array(t.split)=="test")
net=build_evidence_classifiers(r.attribution.classifier,side=320,channels=1)
checkpoints.load_weights(sorted((Path("/tmp/runs/frac_t0/checkpoints/classifiers")).glob("candidate-*.npz"))[-1],net)
A=AttributionMap(net,r.attribution,batch_size=8)
z=A.probability(p.images[te]); yy=y[te]; ss=site[te]; w=[(int((ss==b).sum()),roc_auc_score(yy[ss==b],z[ss==b])) for b in np.unique(ss) if 0<yy[ss==b].sum()<(ss==b).sum()]
rng=np.random.default_rng(0); boot=[roc_auc_score(yy[i],z[i]) for i in (rng.integers(0,len(yy),len(yy)) for _ in range(1000))]
print("test AUROC all %.3f (%.3f to %.3f) within body part %.3f"%(roc_auc_score(yy,z),*np.percentile(boot,[2.5,97.5]),sum(a*b for a,b in w)/sum(a for a,b in w)),w,flush=True)
k=te[yy>0]; from skimage.transform import resize
M=np.stack([resize(m.astype(float),(320,320),order=1)>0.2 for m in d["M"][k]]); assert (d["y"]==y).all()
a=A(np.asarray(p.images[k],np.float32)); h=[ndimage.distance_transform_edt(~m)[np.unravel_index(v.argmax(),v.shape)]<=8*320/224 for v,m in zip(a,M) if m.any()]
print("test pointing %.3f of %d"%(np.mean(h),len(h)), a.shape)
