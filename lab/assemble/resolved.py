import json,sys
from clamnet_tf.recipe.catalogue import load_recipe, recipe_names
from clamnet_tf.recipe.writer import recipe_hash, resolve
import clamnet_tf; print(clamnet_tf.__file__, file=sys.stderr)
out={}
for n in recipe_names():
    r=load_recipe(n)
    out[n]={"hash":recipe_hash(r),"resolved":resolve(r).model_dump(mode="json")}
json.dump(out,open(sys.argv[1],"w"),indent=1)
for n in out: print(n,out[n]["hash"][:16])
