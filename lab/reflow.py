"""reflow.py FILES: wrap docstring lines longer than 110 columns (paragraph-wise), keep everything else."""
import ast,sys,textwrap,re
for path in sys.argv[1:]:
    src=open(path).read(); lines=src.splitlines(keepends=True); edits=[]
    for n in ast.walk(ast.parse(src)):
        if isinstance(n,(ast.Module,ast.ClassDef,ast.FunctionDef)) and n.body and isinstance(n.body[0],ast.Expr) and isinstance(n.body[0].value,ast.Constant) and isinstance(n.body[0].value.value,str):
            d=n.body[0]; old="".join(lines[d.lineno-1:d.end_lineno]).rstrip("\n")
            if all(len(l)<=110 for l in old.split("\n")): continue
            ind=" "*d.col_offset
            body=old[len(ind):]
            if body.startswith('r"""') : continue
            inner=body[3:-3]; L=inner.rstrip().split("\n"); out=[]; i=0
            while i<len(L):
                l=L[i] if i else ind+'"""'+L[i]
                if len(l)<=110: out.append(l); i+=1; continue
                lead=re.match(r" *",l).group(0)
                # join following lines of the same paragraph with same or hanging indent
                arg=re.match(r"^ +[a-z_*]+(, [a-z_*]+)*: ",l) is not None and i>0
                hang=lead+("    " if arg else "")
                text=l.strip(); i+=1
                while i<len(L) and L[i].strip() and re.match(r" *",L[i]).group(0)==hang and not re.match(r"^ *[a-z_]+: ",L[i]) and not re.match(r"^ *(Args|Returns|Raises|Attributes):",L[i]):
                    text+=" "+L[i].strip(); i+=1
                out+=textwrap.wrap(text,108,initial_indent=lead,subsequent_indent=hang,break_long_words=False,break_on_hyphens=False)
            new="\n".join(out)
            new+= '\n'+ind+'"""' if "\n" in new else '"""'
            edits.append((d.lineno-1,d.end_lineno,new+"\n"))
    for a,b,t in sorted(edits,reverse=True): lines[a:b]=[t]
    if edits: open(path,"w").write("".join(lines))
