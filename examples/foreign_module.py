"""Workers that cannot import a module run its functions all the same: what they lack is sent.

Here a plug-in is loaded from a file that is on no path, when the worker runs already. There ProcessPoolExecutor raises BrokenProcessPool,
with ModuleNotFoundError: No module named 'recipe' on standard error, and runs nothing any more; Pool never gives a result. What is added
to sys.path, workers are told.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

import manyhands

SOURCE = """
SALT = 3

def season(grams):
    return grams + SALT
"""

with tempfile.TemporaryDirectory() as folder, manyhands.Executor(max_workers=1) as executor:
    print(executor.submit(sum, [1, 2]).result())  # the worker has begun

    file = Path(folder, "recipe.py")
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("recipe", file)
    recipe = sys.modules["recipe"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    print(executor.submit(recipe.season, 10).result())
    strict = executor.with_options(on_stale="raise")  # for those who would rather know
    error = strict.submit(recipe.season, 10).exception()
    print(type(error).__name__, "No module named 'recipe'" in str(error))

# Output:
# 3
# 13
# StaleCode True
