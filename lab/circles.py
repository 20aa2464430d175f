import ast,sys
from pathlib import Path
root=Path(sys.argv[1]); paths={}
for p in sorted((root/"clamnet_tf").rglob("*.py")):
    parts=p.relative_to(root).with_suffix("").parts
    paths[".".join(parts[:-1] if parts[-1]=="__init__" else parts)]=p
g={}
for n,p in paths.items():
    t=ast.parse(p.read_text()); s=set()
    for node in ast.walk(t):
        if isinstance(node,ast.Import): s|={a.name for a in node.names if a.name in paths}
        elif isinstance(node,ast.ImportFrom):
            for a in node.names:
                w=f"{node.module}.{a.name}"
                if w in paths: s.add(w)
                elif node.module in paths: s.add(node.module)
    g[n]=s-{n}
# tarjan
idx={};low={};st=[];on=set();out=[];c=[0]
sys.setrecursionlimit(10000)
def v(n):
    idx[n]=low[n]=c[0];c[0]+=1;st.append(n);on.add(n)
    for m in g[n]:
        if m not in idx: v(m);low[n]=min(low[n],low[m])
        elif m in on: low[n]=min(low[n],idx[m])
    if low[n]==idx[n]:
        comp=[]
        while True:
            m=st.pop();on.discard(m);comp.append(m)
            if m==n:break
        if len(comp)>1: out.append(sorted(comp))
for n in g:
    if n not in idx: v(n)
for comp in out:
    print("CIRCLE",len(comp))
    for n in comp: print("   ",n,"->",sorted(m for m in g[n] if m in comp))
print(len(out))
