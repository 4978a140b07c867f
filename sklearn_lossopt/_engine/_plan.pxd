"""The structs of ``_plan.hpp``, as Trainer fills them: T = void."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool

cdef extern from "_plan.hpp" namespace "lossopt" nogil:
    ctypedef struct Csr "lossopt::Csr<void>":
        const void* data
        const int32_t* indices
        const int64_t* indptr

cdef extern from "_rows.hpp" namespace "lossopt" nogil:
    ctypedef struct UsedRows:
        bint single
        Py_ssize_t n, d
        const void* X
        Csr csr
        const uint32_t* used
        const double* shift

cdef extern from "_dual_descent.hpp" namespace "lossopt" nogil:
    ctypedef struct DualProblem:
        UsedRows rows
        Py_ssize_t pieces
        const double* share
        const double* square
        const double* c
        const double* low
        const double* high
        double curvature, l2, inverse_rho
        double* theta
        double* w
        double b, sum
        uint32_t* active
        Py_ssize_t n_active
        uint64_t seed, sweep
        double limit, worst

cdef extern from "_sign_search.hpp" namespace "lossopt" nogil:
    ctypedef struct SignProblem:
        Py_ssize_t d
        const double* H
        const double* diagonal
        const double* threshold
        double* u
        double* slope
        double* curvature
        double* factor
        double* room
        Py_ssize_t* order
        Py_ssize_t most_steps
        double gained, left
        bint ended

cdef extern from "_plan.hpp" namespace "lossopt" nogil:
    enum:
        CHUNK_ROWS
        CHUNK_BYTES
        SPARSE_ROWS
        MOST_LAYERS
        N_TABLES
        METRIC_NONE
        METRIC_DIAGONAL
        METRIC_FULL
        PATH_DENSE
        PATH_DIRECT
        PATH_LAZY
        TARGET_VALUES
        TARGET_ONE_VS_REST
        TARGET_CLASS

    ctypedef struct Loss:
        const char* name
        bint joint

    ctypedef struct Optimizer:
        const char* name

    ctypedef struct CatchUp:
        const char* name
        double cost

    ctypedef struct Activation:
        const char* name
        bint keeps_input, is_0_or_line

    ctypedef struct GemmPair "lossopt::Both<lossopt::Gemm>":
        void (*for_double)(
            const char*, const char*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double, const double*,
            Py_ssize_t, const double*, Py_ssize_t, double, double*, Py_ssize_t) noexcept nogil
        void (*for_float)(
            const char*, const char*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float, const float*,
            Py_ssize_t, const float*, Py_ssize_t, float, float*, Py_ssize_t) noexcept nogil

    ctypedef struct Host:
        int (*check_signals)() except -1 nogil
        int (*custom_loss)(
            void* custom, void* reader, Py_ssize_t n, Py_ssize_t raw, Py_ssize_t value,
            Py_ssize_t gradient) except -1 nogil
        int (*blame_loss)(void* custom) except -1 nogil
        int (*custom_step)(void* custom, Py_ssize_t layer, int64_t t, double rate) except -1 nogil
        int (*after_update)(void* custom) except -1 nogil
        GemmPair gemm

    ctypedef struct Layer "lossopt::Layer<void>":
        Py_ssize_t n_in, n_out, row, offset
        void* product
        void* active

    ctypedef struct Buffers "lossopt::Buffers<void>":
        void* rows
        void* target
        void* value
        void* weight
        void* raw
        void* gradient
        void* custom

    ctypedef struct Lazy "lossopt::Lazy<void>":
        void* blocks
        Py_ssize_t stride, n_metrics, n_slots, capacity
        int32_t* tag
        int32_t* active
        int32_t* lag
        int32_t* places
        void* metric
        void* W
        void* U
        void* G
        void* H
        void* state
        void* l2_slope

    ctypedef struct Plan "lossopt::AnyPlan":
        bint single, intercept, shuffle, streams, plain_sgd
        Py_ssize_t n, d, k, n_layers, size, batch_size, chunk
        const void* X
        Csr csr
        const void* target
        const void* weight
        const void* shift
        const uint32_t* sample_indices
        uint32_t* order
        uint64_t seed
        int target_kind
        const Loss* loss
        const double* loss_param
        Py_ssize_t loss_param_step
        bint joint
        const Optimizer* optimizer
        const CatchUp* catch_up
        const double* step_param
        void* state
        Py_ssize_t n_slots
        int64_t* steps
        double l2, l1, scale
        void* custom
        bint watched
        int metric_kind
        Py_ssize_t metric_stride
        const void* metric
        void* W
        void* U
        void* G
        void* H
        void* thresholds
        double* sums
        Layer* layers
        const Activation* activation
        double dropout, weight_decay
        const void* column_scale
        const double* output
        void* first_layer
        (void*)[2] gradients
        Buffers buffers
        Lazy lazy
        const Host* host

    ctypedef struct Member "lossopt::AnyMember":
        Plan* plan
        const double* rates
        Py_ssize_t rate_step
        double* history
        Py_ssize_t n_done
        bint active

cdef extern from "_lagrangian.hpp" namespace "lossopt" nogil:
    enum:
        CONJUGATE_NONE
        CONJUGATE_QUADRATIC
        CONJUGATE_ENTROPY

    ctypedef struct Lapack:
        void (*syrk)(Py_ssize_t n, Py_ssize_t k, const double* A, double* C) noexcept nogil
        cbool (*factorise)(Py_ssize_t n, double* A) noexcept nogil
        void (*solve)(Py_ssize_t n, const double* factor, double* b) noexcept nogil

    ctypedef struct LagrangianProblem:
        UsedRows rows
        double last, numbers
        Py_ssize_t units, pieces, size
        int conjugate
        double q
        const double* share
        const double* c
        const double* low
        const double* high
        const double* scale
        const double* penalty
        const double* null
        Py_ssize_t n_null
        cbool dense
        double* v
        double* theta
        double width, raw_scale, ridge, least_ridge, accuracy
        cbool* on
        double rest, tolerance, gap
        Py_ssize_t count, most
        cbool changed
        double* kept
        double* room
        uint32_t* active
        const Host* host
        const Lapack* lapack

    Py_ssize_t lagrangian_kept(const LagrangianProblem*)
    Py_ssize_t lagrangian_room(const LagrangianProblem*)

cdef extern from "_interior_point.hpp" namespace "lossopt" nogil:
    ctypedef struct InteriorProblem:
        Py_ssize_t n, size, pieces
        const double* x
        const double* share
        const double* c
        const double* low
        const double* high
        const double* quadratic
        const double* linear
        double* w
        double mass, tolerance
        Py_ssize_t most_steps
        double* room
        const Lapack* lapack

    Py_ssize_t interior_room(const InteriorProblem*)

cdef extern from "_extended_rows.hpp" namespace "lossopt" nogil:
    enum:
        COPIED_ROWS

    ctypedef struct ExtendedRows:
        UsedRows rows
        double last
        const Host* host
        void (*syrk)(
            Py_ssize_t n, Py_ssize_t k, double sign, const double* A, double* C) noexcept nogil

cdef extern from "_plan.hpp" namespace "lossopt" nogil:
    ctypedef struct Level:
        const char* name
        const Loss* losses
        const Optimizer* optimizers
        const CatchUp* catch_ups
        const Activation* activations
        void (*call_loss)(
            const Loss*, bint single, Py_ssize_t n, Py_ssize_t k, const void* y, const void* raw,
            const double* param, void* value, void* gradient) noexcept nogil
        void (*activate)(const Activation*, bint single, Py_ssize_t n, void* z) noexcept nogil
        bint (*one_by_one)(Plan*) noexcept nogil
        Py_ssize_t (*run)(
            Plan*, int path, Py_ssize_t first_epoch, Py_ssize_t n_epochs, const double* rates,
            Py_ssize_t rate_step, double* history) except -1 nogil
        int (*run_bank)(
            Member* members, Py_ssize_t n_members, Py_ssize_t first_epoch, Py_ssize_t n_epochs
        ) except -1 nogil
        int (*evaluate)(Plan*, double* gradient, double* objective) except -1 nogil
        void (*fill_thresholds)(Plan*) noexcept nogil
        void (*fill_powers)(Plan*, Py_ssize_t n_steps, double* room) noexcept nogil
        Py_ssize_t (*mean_active)(Plan*) noexcept nogil
        double (*moments)(
            const Csr*, const void* X, bint single, Py_ssize_t n, Py_ssize_t d, const void* weight,
            const uint32_t* order, const double* origin, double* first, double* second) noexcept nogil
        double (*dual_sweeps)(DualProblem*, double most_work) noexcept nogil
        void (*dual_predict)(const DualProblem*, double* z) noexcept nogil
        void (*dual_pull)(const DualProblem*, const double* a, double* out) noexcept nogil
        void (*dual_squares)(const DualProblem*, double* out) noexcept nogil
        void (*sign_search)(SignProblem*) noexcept nogil
        int (*lagrangian_step)(LagrangianProblem*) except -1 nogil
        void (*column_squares)(const UsedRows*, const double* factors, double* out) noexcept nogil
        void (*row_predictions)(
            const ExtendedRows*, Py_ssize_t k, const double* W, double* out, double* room
        ) noexcept nogil
        void (*row_sums)(
            const ExtendedRows*, Py_ssize_t k, const double* a, double* out, double* room
        ) noexcept nogil
        void (*row_grams)(
            const ExtendedRows*, Py_ssize_t k, const double* h, double* out, double* room
        ) noexcept nogil
        void (*interior_point)(InteriorProblem*) noexcept nogil
