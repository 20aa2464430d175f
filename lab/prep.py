from common import *
sys.path.insert(0,os.environ.get("WT","/work/wt-run"))
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.data.dataset import load_dataset
from clamnet_tf.data.sealed import open_masks
from clamnet_tf.progress import Reporter
from clamnet_tf.zoo.organ_networks import organ_network_of
def prepared(recipe,manifest,overrides=(),masks=True):
    r=load_recipe(recipe,list(overrides))
    man,p=load_dataset(r,data=manifest,labels=None,split_file=None,organ_network=organ_network_of(r,Reporter(quiet=True)),cache="/tmp/cache",reporter=Reporter(quiet=True))
    x=np.asarray(p.images,np.float32); o=np.asarray(p.organ)>0; t=p.table
    M=np.zeros(o.shape,bool); known=np.zeros(len(o),bool)
    if masks:
        for i,m in enumerate(open_masks(man,p,np.arange(len(o)),purpose="evaluation",grid="prepared")):
            if m is not None: M[i]=np.asarray(m)>0; known[i]=True
    return x,o,t,M,known
