// Modes long64 and compat32: handlers are 64-bit code for both.
#define STAGE faultline_bare_long64
#define LONG_MODE 1
#define R(x) r##x
#define WORD qword ptr
#define SLOT 8
#define PUSHF pushfq
#define IRET iretq
#define UNDER_VMM 0
#include "bare_flat.inc"
