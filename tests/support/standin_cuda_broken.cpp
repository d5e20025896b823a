// Libraries in the place of libtorch_cuda.so that are of no use. Built three times: linked to a library that is not found at run time,
// calling what no library has, and doing nothing.
extern "C" {

#ifdef PERMILLE_STANDIN_DRIVER
__attribute__((visibility("default"))) int standin_driver() { return 0; }
#else
int standin_driver();
__attribute__((visibility("default"))) int standin_cuda() {
#ifdef PERMILLE_STANDIN_CALLS
    return standin_driver();
#else
    return 0;
#endif
}
#endif
}
