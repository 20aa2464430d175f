import sys,ast,re
from pathlib import Path
F=sys.argv[1:]
for f in F:
    p=Path(f); L=p.read_text().split("\n"); tree=ast.parse(p.read_text())
    spans=[]
    for n in ast.walk(tree):
        if isinstance(n,(ast.Module,ast.ClassDef,ast.FunctionDef)) and n.body and isinstance(n.body[0],ast.Expr) and isinstance(n.body[0].value,ast.Constant) and isinstance(n.body[0].value.value,str):
            spans.append((n.body[0].lineno-1,n.body[0].end_lineno-1))
    for a,b in sorted(spans,reverse=True):
        i=a; end=b
        while i<=end:
            if len(L[i])>110:
                ind=re.match(r" *",L[i]).group(0)
                cut=L[i].rfind(" ",0,111)
                rest=L[i][cut+1:]; L[i]=L[i][:cut]
                nxt=L[i+1] if i<end else None
                if nxt is not None and nxt.strip() and re.match(r" *",nxt).group(0)==ind and not re.match(r" *\w+:",nxt) and nxt.strip()!='"""':
                    L[i+1]=ind+rest+" "+nxt.strip()
                else:
                    # hanging entries keep deeper indentation
                    deep=ind+("    " if re.match(r" *\w+: ",L[i]) and ind and not L[i].strip().startswith('"""') else "")
                    if nxt is not None and nxt.strip() and re.match(r" *",nxt).group(0)==deep and nxt.strip()!='"""' and deep!=ind:
                        L[i+1]=deep+rest+" "+nxt.strip()
                    else:
                        L.insert(i+1,deep+rest); end+=1
            i+=1
    p.write_text("\n".join(L))
