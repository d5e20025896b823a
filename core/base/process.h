// What a program of Permille sets before anything else.
#pragma once

namespace permille {

// Call first in main, before threads and libraries start. Training allocates the same large blocks again at every update: they stay with
// the process instead of going back to the system, which would fill them with zeros each time. oneDNN keeps few of its compiled kernels: it
// makes one with a work space for every shape that it meets, and batches differ, so that a thousand of them would be hundreds of MB. What
// the user's own environment says (ONEDNN_PRIMITIVE_CACHE_CAPACITY, GLIBC_TUNABLES) is left alone.
void prepare_process();

}  // namespace permille
