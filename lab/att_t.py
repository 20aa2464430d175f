import os; os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
import sys; sys.path.insert(0,"/work/main")
import numpy as np, tensorflow as tf, time
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.networks.evidence_classifier import *
from clamnet_tf.networks.attribution_map import AttributionMap
r=load_recipe("ct_nodule"); n=build_evidence_classifiers(r.attribution.classifier,side=48,channels=1)
a=AttributionMap(n,r.attribution); x=np.random.default_rng(0).normal(size=(64,48,48,1)).astype(np.float32)
t=time.time(); m=a(x[:16]); print("first",time.time()-t); t=time.time(); m=a(x); print(m.shape,m.min(),m.max(),time.time()-t)
t=time.time(); e=a.maps(tf.constant(x[:4])).numpy()[0]; print(np.abs(e-m[:4]).max(),time.time()-t)
