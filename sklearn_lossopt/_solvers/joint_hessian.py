"""The Hessian of all outputs of a joint loss as one matrix."""

import numpy as np

# As MATRIX_SIZE, for all outputs together, and the products that the matrix may
# take near the optimum and far from it.
JOINT_MATRIX_SIZE, JOINT_COST, FAR_COST = 512, 1e9, 2e7
# Rows whose derivatives are formed at once, at least.
BLOCK_ROWS = 2000


def joins(rows, size, far):
    """Whether a matrix of all outputs together is worth its cost; ``far`` says that the optimum is
    not near."""
    cost = rows * size**2
    return size <= JOINT_MATRIX_SIZE and cost <= (FAR_COST if far else JOINT_COST)


def joint_matrix(loss, x, y, share, raw, with_penalty):
    """The Hessian of all outputs of a joint loss as one matrix, each output's block
    ``with_penalty``."""
    k, size = raw.shape[1], x.shape[1]
    H, invariant, n = np.zeros((k, size, k, size)), loss.shift_invariant, len(raw)
    pairs = [(r, s) for s in range(k) for r in range(s + (not invariant))]
    for part, rows in x.blocks(max(BLOCK_ROWS, n // k**2)):
        along = loss._curvature_operator(y[part], raw[part])
        bent = [along(np.broadcast_to(row, raw[part].shape)) for row in np.eye(k)]
        h = np.column_stack([bent[s][:, r] for r, s in pairs]) * share[part]
        for (r, s), block in zip(pairs, rows.grams(h), strict=True):
            H[r, :, s] += block
    for r, s in pairs:
        H[s, :, r] = H[r, :, s]
    for s in range(k):
        if invariant:
            # Where all outputs move alike there is no curvature.
            H[s, :, s] = -H[s].sum(axis=1)
        with_penalty(H[s, :, s])
    return H.reshape(k * size, k * size)
