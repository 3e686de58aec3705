// World svm, modes long64 and compat32: what the guest sees of exceptions.
#define STAGE faultline_svm_long64
#define LONG_MODE 1
#define R(x) r##x
#define WORD qword ptr
#define SLOT 8
#define PUSHF pushfq
#define IRET iretq
#define UNDER_VMM 1
#include "bare_flat.inc"
