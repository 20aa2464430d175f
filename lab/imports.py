import ast,pathlib,importlib,sys
sys.path.insert(0,'/work/main')
root=pathlib.Path('/work/main/clamnet_tf'); defs={}
for p in root.rglob('*.py'):
    m='.'.join(p.relative_to(root.parent).with_suffix('').parts); t=ast.parse(p.read_text())
    names=set()
    for n in ast.walk(t):
        if isinstance(n,(ast.FunctionDef,ast.ClassDef,ast.AsyncFunctionDef)): names.add(n.name)
        elif isinstance(n,ast.Assign):
            for x in n.targets:
                for y in ast.walk(x):
                    if isinstance(y,ast.Name): names.add(y.id)
        elif isinstance(n,ast.AnnAssign) and isinstance(n.target,ast.Name): names.add(n.target.id)
        elif isinstance(n,(ast.Import,ast.ImportFrom)):
            for a in n.names: names.add((a.asname or a.name).split('.')[0])
    defs[m]=names
for base in (root,pathlib.Path('/work/main/tests'),pathlib.Path('/work/main/tools')):
    for p in base.rglob('*'):
        if not p.is_file() or p.suffix not in ('.py',''): continue
        try: t=ast.parse(p.read_text())
        except Exception: continue
        for n in ast.walk(t):
            if isinstance(n,ast.ImportFrom) and n.module and n.module.startswith('clamnet_tf'):
                for a in n.names:
                    if n.module in defs and a.name not in defs[n.module] and f"{n.module}.{a.name}" not in defs and f"{n.module}.{a.name}.__init__" not in defs: print(p,n.lineno,n.module,a.name)
                    elif n.module not in defs and f"{n.module}.__init__" not in defs: print(p,n.lineno,'no module',n.module)
                    elif n.module not in defs and f"{n.module}.__init__" in defs and f"{n.module}.{a.name}" not in defs and a.name not in defs[f"{n.module}.__init__"] and f"{n.module}.{a.name}.__init__" not in defs: print(p,n.lineno,n.module,a.name)
