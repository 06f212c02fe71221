"""Workers that cannot import a module run its functions all the same: what they lack is sent.

Here the folder of a plug-in is added to sys.path when the worker runs already. There ProcessPoolExecutor raises BrokenProcessPool, with
ModuleNotFoundError: No module named 'recipe' on standard error, and runs nothing any more; Pool never gives a result.
"""

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
    print(executor.submit(sum, [1, 2]).result())  # the worker has begun, and looks for modules where the program did until now

    Path(folder, "recipe.py").write_text(SOURCE)
    sys.path.append(folder)
    import recipe

    print(executor.submit(recipe.season, 10).result())
    strict = executor.with_options(on_stale="raise")  # for those who would rather know
    error = strict.submit(recipe.season, 10).exception()
    print(type(error).__name__, "No module named 'recipe'" in str(error))

# Output:
# 3
# 13
# StaleCode True
