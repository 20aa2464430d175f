"""doc.py: replace docstrings. rules: {module: {qualified function or MODULE: new docstring}}"""
import ast,sys,textwrap
def apply(path,rules):
    src=open(path).read(); tree=ast.parse(src); lines=src.splitlines(keepends=True)
    nodes={}
    def walk(node,prefix=""):
        for n in ast.iter_child_nodes(node):
            if isinstance(n,(ast.ClassDef,ast.FunctionDef)):
                nodes.setdefault(n.name,n); nodes[prefix+n.name]=n; walk(n,prefix+n.name+".")
            else: walk(n,prefix)
    nodes["MODULE"]=tree; walk(tree)
    edits=[]
    for name,text in rules.items():
        n=nodes[name]; d=n.body[0]
        assert isinstance(d,ast.Expr) and isinstance(d.value,ast.Constant),(path,name)
        ind=" "*d.col_offset; text=textwrap.dedent(text).strip()
        if "\n" in text: body='"""'+text+"\n"+'"""'
        else: body='"""'+text+'"""'
        body="\n".join((ind+l if l and i else l) for i,l in enumerate(body.split("\n")))
        edits.append((d.lineno-1,d.end_lineno,ind+body+"\n"))
    for a,b,t in sorted(edits,reverse=True): lines[a:b]=[t]
    open(path,"w").write("".join(lines))
