"""The integer kernels, fast twins of ``ifq.reference``: a folder for each family of them, and what all share.

``select`` chooses the family that runs a layer: the one that should take the least time, by its own account and by the
``costs`` of this machine, which ``primitives`` measures. ``image`` is for the first layer, ``rows`` for layers of few
channels on large maps, ``lookup`` for layers of many filters, ``popcount`` for any. ``pool`` is no family: it is the
max pool that stands apart from its convolution, and families share it. A folder holds the family's ``kernels``, the
``vectors`` that it alone needs, and ``layer``: which layers it fits, what they should cost and how they are packed for
it.

**Sums without multiplication.** A level q of k bits is k bits x_p: q = sum of 2^p x_p for p = 0 .. k - 1. A weight is a
bit w, 1 for +1 and 0 for -1, so that its value is 2w - 1. Of two bits

    w ^ x = w + x - 2wx,    hence    (2w - 1) x = w - (w ^ x)

Take the sum over all weights of a filter, of which B are +1:

    sum of (2w - 1) x = B - popcount(w ^ x)

Then take the sum over the planes, times 2^p, with n = 2^k - 1, the sum of all 2^p. This is the accumulator:

    a = sum of (2w - 1) q = n * B - S,    S = sum over p of 2^p popcount(w ^ x_p)

S counts mismatches. All kernels except the first layer's compute S instead of a. Padding is x = 0: it adds w to S and w
to B, and needs no term of its own. Unused bits at the end of a word are 0 in both w and x, and do not count.

**Thresholds.** a > T where S < n * B - T. So n * B is no part of the kernels: it goes into the thresholds, which are
then called bounds. The maximum of a in a pool is the minimum of S.

**Maps** are bit planes with a border of zeros; ``runtime.maps`` gives their layout. The border is as wide as the
padding of the convolution that reads the map, so that no kernel tests for edges. The bits under one row of a
convolution's kernel are contiguous, for any number of channels.

**Levels from comparisons.** m_i says whether S is below the i-th bound, i = 1 .. n. The bounds of a filter are in
order, so that m_i falls from 1 to 0 once, and the level is the sum of m_i. Counting up, bit p changes at every
multiple of 2^p. So bit p is the xor of the m_i whose i is divisible by 2^p. A filter with a negative
scale has its levels reversed, n - level: this inverts every bit of them, and is one more xor ("flips").
"""
