from common import *
sys.path.insert(0,"/work/wt-run")
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.data.dataset import load_dataset
from clamnet_tf.data.sealed import open_masks
from clamnet_tf.progress import Reporter
from clamnet_tf.runs import RunFolder
from clamnet_tf.evaluation.trained import load_trained
for f in range(3):
    run=RunFolder(f"/tmp/runs/lgg_f{f}")
    if not run.model.exists(): continue
    r=load_recipe(str(run.recipe))
    man,p=load_dataset(r,data="/tmp/lgg62",labels=None,split_file=f"/tmp/m/lgg_fold{f}.csv",cache="/tmp/cache",reporter=Reporter(quiet=True))
    tr=load_trained(run,r); t=p.table; out={}
    rows=np.flatnonzero(t.split=="test")
    M=open_masks(man,p,rows,purpose="evaluation",grid="prepared")
    for pat in np.unique(t.patient[rows]):
        k=rows[t.patient[rows]==pat]; im=np.asarray(p.images[k],np.float32); o=np.asarray(p.organ[k])>0
        raw=tr.probability(im); v=tr.volume(raw,im,o)
        out[pat+"/img"]=im.astype(np.float16);out[pat+"/o"]=o;out[pat+"/raw"]=raw.astype(np.float16);out[pat+"/vol"]=v.astype(np.float16)
        out[pat+"/m"]=np.stack([M[list(rows).index(i)] for i in k])
    out["thr"]=np.array(tr.volume.threshold)
    np.savez_compressed(f"/tmp/lab/lgg_f{f}.npz",**out); print(f,len(out))
