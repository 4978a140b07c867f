from sklearn_lossopt._engine._plan cimport Activation, CatchUp, Level, Loss, Optimizer

# What was compiled for the processor at hand.
cdef const Level* level


cdef class LossKernel:
    cdef const Loss* loss
    cdef readonly bint joint


cdef class StepKernel:
    cdef const Optimizer* optimizer
    cdef const CatchUp* catch_up


cdef class ActivationKernel:
    cdef const Activation* activation
    cdef readonly bint keeps_input
