"""Split string literals that reach beyond 110 columns into adjacent ones at a space (Python 3.12): split_strings.py FILE... ; the AST must stay."""
import ast, io, sys, tokenize
W = 110
def units(text):
    """(start row, start col, end row, end col, prefix+quote, allowed columns to split at, depth of brackets, previous, next) of single-line literals."""
    toks = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in (tokenize.NL, tokenize.COMMENT)]
    depth, i, out = 0, 0, []
    while i < len(toks):
        t = toks[i]
        if t.type == tokenize.OP and t.string in "([{": depth += 1
        elif t.type == tokenize.OP and t.string in ")]}": depth -= 1
        if t.type == tokenize.STRING and t.start[0] == t.end[0]:
            quote = t.string[: len(t.string) - len(t.string.lstrip("rRbBuUfF")) + 1]
            if not t.string[len(quote) - 1:].startswith(('"""', "'''")) and "b" not in quote.lower():
                ok = [t.start[1] + k + 1 for k, ch in enumerate(t.string) if ch == " " and len(quote) <= k < len(t.string) - 2 and t.string[k - 1] != "\\"]
                out.append((t.start[0], t.start[1], t.end[1], quote, ok, depth, toks[i - 1].string if i else "", toks[i + 1].string if i + 1 < len(toks) else "", toks[i + 1].type))
        if t.type == tokenize.FSTRING_START:
            level, j, ok = 1, i + 1, []
            while level:
                u = toks[j]
                if u.type == tokenize.FSTRING_START: level += 1
                elif u.type == tokenize.FSTRING_END: level -= 1
                elif u.type == tokenize.FSTRING_MIDDLE and level == 1 and toks[j - 1].string != ":" and u.start[0] == u.end[0]:
                    brace = toks[j - 1]
                    ok += [(u.start[0], u.start[1] + k + 1) for k, ch in enumerate(u.string) if ch == " " and "{" not in u.string and "}" not in u.string]
                j += 1
            e = toks[j - 1]
            if t.start[0] == e.end[0] and len(t.string.lstrip("rRfFbB")) == 1:
                nxt = toks[j] if j < len(toks) else e
                out.append((t.start[0], t.start[1], e.end[1], t.string, [c for r, c in ok if t.start[1] < c < e.end[1] - 1], depth, toks[i - 1].string if i else "", nxt.string, nxt.type))
            i = j; continue
        i += 1
    return out
def once(text):
    lines = text.split("\n")
    for row, a, b, quote, ok, depth, before, after, kind in reversed(units(text)):
        line = lines[row - 1]
        if len(line) <= W or b <= W - 2: continue
        closing = quote[-1]
        spots = [c for c in ok if a + 12 < c <= W - 2]
        if not spots: continue
        c = spots[-1]; indent = " " * (len(line) - len(line.lstrip()))
        if depth == 0:
            if kind != tokenize.NEWLINE or before not in ("=", "return", "in", ",", "+"): continue
            if before in (",", "+", "in"): continue
            lines[row - 1] = f"{line[:a]}(\n{indent}    {line[a:c]}{closing}\n{indent}    {quote}{line[c:b]}\n{indent}){line[b:]}"
        else:
            lines[row - 1] = f"{line[:c]}{closing}\n{' ' * a if a < 60 else indent + '    '}{quote}{line[c:]}"
        return "\n".join(lines), True
    return text, False
for name in sys.argv[1:]:
    text = open(name).read(); made, more, n = text, True, 0
    if not any(len(l) > W for l in text.split("\n")): continue
    try:
        while more and n < 200:
            new, more = once(made); n += 1
            if more and ast.dump(ast.parse(new)) != ast.dump(ast.parse(text)): print("stopped at a split that would change:", name); break
            made = new
    except (SyntaxError, tokenize.TokenError) as error: print("left alone:", name, error); continue
    if made != text: open(name, "w").write(made)
