import sys
from pathlib import Path
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import recipe_hash
from clamnet_tf.networks.describe import describe
import clamnet_tf
out=[]
for p in sorted([*Path("/work/main/recipes").glob("*.yaml"),*Path("/work/main/zoo").glob("*/recipe.yaml")]):
    if p.name.startswith("study"): continue
    r=load_recipe(str(p)); out.append((str(p),recipe_hash(r),describe(r.network,side=r.data.side,channels=1).table()))
import hashlib
for a in out: print(a[0][-40:],a[1],hashlib.sha256(a[2].encode()).hexdigest()[:12])
