// Mode prot32.
#define STAGE faultline_bare_prot32
#define LONG_MODE 0
#define R(x) e##x
#define WORD dword ptr
#define SLOT 4
#define PUSHF pushfd
#define IRET iretd
.code32
#define UNDER_VMM 0
#include "bare_flat.inc"
