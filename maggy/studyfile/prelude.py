"""What a study file finds there. One text for both languages: it is Starlark, and it is Python.

Nothing is decided here but what is wrong at the line that says it: a definition is a dict, which
`maggy.studyfile.definition` reads. `_ask` reaches the outside, `type` tells a value's kind as Starlark does, and `fail`
ends it.
"""

FUNCTIONS = ("function", "next")  # of a study: that of its trials, and its oracle's
SYSTEMS = ("localsystem", "sparksystem", "ec2system")

# `range` is a searchspace here; with one argument, or three, it is what it is elsewhere. It stands in a run of its own:
# within a file Starlark takes a name that the file defines for the file's from its first line on.
BEFORE = "_counted = range"

PRELUDE = """
grid_search = {"oracle": "grid_search"}

def _kind(what, value, *kinds):
    if type(value) not in kinds:
        fail("%s is %s, of type %s; it must be %s" % (what, repr(value), type(value), " or ".join(kinds)))

def _texts(what, values):
    _kind(what, values, "list", "tuple")
    for value in values:
        _kind("an element of " + what, value, "string")
    return list(values)

def _files(paths):
    found = {}
    for path in _texts("local_files", paths):
        name = path.split("/")[-1]
        if found.setdefault(name, path) != path:
            fail("local_files has %s and %s, which would be one file, %s" % (found[name], path, name))
    return list(found.values())

def discrete(*values):
    if not values:
        fail("discrete() has no values; list at least one")
    for value in values:
        _kind("a value of discrete()", value, "int", "float", "string", "bool", "list", "dict")
        if type(value) != type(values[0]):
            kinds = (type(values[0]), type(value))
            fail("discrete() has values of two kinds, %s and %s; write 1.0 for a float" % kinds)
    return {"param": "discrete", "values": list(values)}

def range(*ends):
    if len(ends) != 2:
        return _counted(*ends)
    for end in ends:
        _kind("an end of range()", end, "int", "float")
    if type(ends[0]) != type(ends[1]):
        fail("range(%s, %s) has ends of two kinds; write 1.0 for a float" % (repr(ends[0]), repr(ends[1])))
    if ends[0] >= ends[1]:
        fail("range(%s, %s) is empty: its end is not part of it" % (repr(ends[0]), repr(ends[1])))
    return {"param": "range", "ends": list(ends)}

def minimize(metric):
    _kind("the metric", metric, "string")
    return {"direction": "min", "metric": metric}

def maximize(metric):
    _kind("the metric", metric, "string")
    return {"direction": "max", "metric": metric}

def skopt(base_estimator="GP", n_initial_points=10, acq_func="gp_hedge", acq_optimizer="auto"):
    return {"oracle": "skopt", "base_estimator": base_estimator, "n_initial_points": n_initial_points,
            "acq_func": acq_func, "acq_optimizer": acq_optimizer}

def random_search(seed=0):
    return {"oracle": "random", "seed": seed}

def _system(kind, name, parallelism, more):
    _kind("the name of a system", name, "string")
    _kind("parallelism", parallelism, "int")
    if parallelism < 0:
        fail("parallelism is %d; it must be at least 1, or 0 for as many as there are cores" % parallelism)
    return dict([("system", kind), ("name", name), ("parallelism", parallelism)] + list(more.items()))

def localsystem(name, parallelism=0, preamble=""):
    return _system("localsystem", name, parallelism, {"preamble": preamble})

def sparksystem(name, parallelism=0, resources={}, preamble=""):
    return _system("sparksystem", name, parallelism, {"resources": resources, "preamble": preamble})

def ec2system(name, ami="", instance_profile="", instance_type="", region="", security_group="", disk_space=0,
              data_space=0, on_demand=False, flavor="ubuntu", parallelism=0, preamble="", **more):
    return _system("ec2system", name, parallelism, {"instance_type": instance_type, "preamble": preamble})

def _systems(what, system):
    several = system if type(system) == "list" else [system]
    for each in several:
        if type(each) != "dict" or "system" not in each:
            fail("%s has no system; give it one, such as localsystem(\\"local\\", 2), or a list of them" % what)
    if not several:
        fail("%s has an empty list of systems" % what)
    return list(several)

def dataset(name, system, script, if_not_exist="", local_files=[]):
    _kind("the name of a dataset", name, "string")
    _kind("the script of a dataset", script, "string")
    return {"dataset": name, "systems": _systems("dataset " + name, system), "script": script,
            "if_not_exist": if_not_exist, "files": _files(local_files)}

def run_config(system, script, local_files=[], datasets=[]):
    _kind("the script of run_config()", script, "string")
    for each in datasets:
        if type(each) != "dict" or "dataset" not in each:
            fail("datasets has %s, which is no dataset()" % repr(each))
    return {"script": script, "systems": _systems("run_config()", system), "files": _files(local_files),
            "datasets": list(datasets)}

def _study(name, params, objective, run=None, oracle=grid_search, replicates=0, description="", acquire=None):
    _kind("the name of a study", name, "string")
    _kind("params", params, "dict")
    for param in params:
        _kind("the name of a parameter", param, "string")
        if type(params[param]) != "dict" or "param" not in params[param]:
            fail("parameter %s of study %s is %s; write discrete(…) or range(…)" % (param, name, repr(params[param])))
    if type(objective) != "dict" or "direction" not in objective:
        fail("the objective of study %s is %s; write minimize(…) or maximize(…)" % (name, repr(objective)))
    if type(oracle) not in ("string", "function") and (type(oracle) != "dict" or "oracle" not in oracle):
        fail("the oracle of study %s is %s; write grid_search, skopt(…) or random_search(…)" % (name, repr(oracle)))
    own = oracle if type(oracle) == "function" else None
    _kind("replicates", replicates, "int")
    if replicates < 0 or replicates > 64:
        fail("replicates is %d; it must be from 0 to 64" % replicates)
    if (run == None) == (acquire == None):
        fail("study %s needs run=, a function that returns run_config(…), or acquire=" % name)
    function = acquire if run == None else run
    if type(function) != "function":
        fail("run of study %s is %s; it must be a function" % (name, repr(function)))
    return {"name": name, "params": params, "objective": objective, "function": function,
            "acquires": run == None, "oracle": {"oracle": "own"} if own else oracle, "next": own,
            "replicates": replicates, "description": description}

def command(script, interpreter="bash -c", strip=False):
    _kind("the script of command()", script, "string")
    said = _ask("command", interpreter, script)
    return said.strip() if strip else said

def temp_file(contents):
    _kind("the contents of temp_file()", contents, "string")
    return _ask("temp_file", contents, "")

def enum_value(name):
    _kind("the name of enum_value()", name, "string")
    return {"enum_value": name}

def _escaped(text):
    for a, b in [("\\\\", "\\\\\\\\"), ("\\"", "\\\\\\""), ("\\n", "\\\\n"), ("\\r", "\\\\r"), ("\\t", "\\\\t")]:
        text = text.replace(a, b)
    return "\\"" + text + "\\""

def _proto(values, indent):
    lines = []
    for name in values:
        _kind("the name of a field of to_proto()", name, "string")
        value = values[name]
        for each in value if type(value) in ("list", "tuple") else [value]:
            if type(each) == "dict" and list(each) == ["enum_value"]:
                lines.append("%s%s: %s" % (indent, name, each["enum_value"]))
            elif type(each) == "dict":
                lines.extend(["%s%s {" % (indent, name)] + _proto(each, indent + "  ") + [indent + "}"])
            elif type(each) == "string":
                lines.append("%s%s: %s" % (indent, name, _escaped(each)))
            elif type(each) == "bool":
                lines.append("%s%s: %s" % (indent, name, "true" if each else "false"))
            else:
                _kind("field " + name + " of to_proto()", each, "int", "float")
                lines.append("%s%s: %s" % (indent, name, str(each)))
    return lines

def to_proto(values):
    _kind("the value of to_proto()", values, "dict")
    return "".join([line + "\\n" for line in _proto(values, "")])

def panic(*messages):
    fail("panic: " + " ".join([str(message) for message in messages]))
"""

NAMES = (
    *("grid_search", "skopt", "random_search", "discrete", "range", "minimize", "maximize", *SYSTEMS, "dataset"),
    *("run_config", "command", "temp_file", "enum_value", "to_proto", "panic"),
)
