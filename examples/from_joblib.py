"""A program for joblib, with one line changed: the import."""

from math import sqrt

from manyhands import Parallel, delayed  # was: from joblib import Parallel, delayed

print(Parallel(n_jobs=2)(delayed(sqrt)(i**2) for i in range(8)))

# As a generator: results while others are still being computed.
for power in Parallel(n_jobs=2, return_as="generator")(delayed(pow)(2, i, mod=1000) for i in range(10, 14)):
    print(power)

# Output:
# [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
# 24
# 48
# 96
# 192
