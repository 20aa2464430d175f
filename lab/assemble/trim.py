import copy, re, sys, json, collections
from pathlib import Path
import yaml
from clamnet_tf.recipe.catalogue import recipe_of, recipe_names
from clamnet_tf.recipe.writer import recipe_hash, yaml_text
folder=Path("recipes")
def remove(data,path):
    data=copy.deepcopy(data); here=data; trail=[]
    for k in path[:-1]: trail.append((here,k)); here=here[k]
    del here[path[-1]]
    for parent,k in reversed(trail):
        if parent[k]=={}: del parent[k]
    return data
def h(data):
    try: return recipe_hash(recipe_of(yaml_text(data)))
    except Exception as e: return str(e)[:100]
def nodes(node,path=()):
    for k,v in node.value:
        p=(*path,k.value)
        if isinstance(v,yaml.MappingNode) and not v.flow_style:
            yield p,k,v,False
            yield from nodes(v,p)
        else: yield p,k,v,True
names=recipe_names()
comments=collections.Counter()
texts={n:(folder/f"{n}.yaml").read_text() for n in names}
def comment(line):
    m=re.search(r"\s#\s.*$",line); return m.group().strip() if m else None
for n in names:
    for p,k,v,leaf in nodes(yaml.compose(texts[n])):
        c=comment(texts[n].splitlines()[k.start_mark.line])
        if c: comments[(p,c)]+=1
for n in names:
    if n=="ct_nodule": continue
    text=texts[n]; lines=text.splitlines(); data=yaml.safe_load(text); want=h(data)
    assert len(want)==64,(n,want)
    drop=set(); dropped=[]
    for p,k,v,leaf in list(nodes(yaml.compose(text))):
        if not leaf or p[0] in("name","modality","condition","description"): continue
        if p==("data","side"): continue
        less=remove(data,p)
        if h(less)==want:
            data=less; drop|=set(range(k.start_mark.line, v.end_mark.line+ (0 if v.end_mark.column==0 and v.end_mark.line>k.start_mark.line else 1)))
            c=comment(lines[k.start_mark.line])
            if c and comments[(p,c)]<3: dropped.append((".".join(p),lines[k.start_mark.line].strip()))
    for p,k,v,leaf in nodes(yaml.compose(text)):
        here=data
        for key in p:
            here=here.get(key) if isinstance(here,dict) and key in here else "GONE"
            if isinstance(here,str) and here=="GONE": drop.add(k.start_mark.line); break
    out=[]
    kept={}
    for p,k,v,leaf in nodes(yaml.compose(text)): kept[k.start_mark.line]=p
    for i,l in enumerate(lines):
        if i in drop: continue
        if i in kept:
            c=comment(l)
            if c and comments[(kept[i],c)]>=4: l=l[:l.rindex(c) if l.endswith(c) else None].rstrip()
        out.append(l)
    # comment blocks before nothing
    res=[]; 
    blocks="\n".join(out).split("\n\n")
    head=[b for b in blocks]
    blocks=[b for i,b in enumerate(blocks) if i<2 or not all(x.startswith("#") for x in b.splitlines())or b.splitlines()[0].startswith("# Only")or i<4 and 'Every' in b or "measured" in b]
    Path(sys.argv[1],f"{n}.yaml").write_text("\n\n".join(blocks)+"\n")
    assert h(yaml.safe_load("\n\n".join(blocks)))==want
    print("==",n); [print("  ",a,"|",b) for a,b in dropped]
