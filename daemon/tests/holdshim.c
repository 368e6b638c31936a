// Holds a start before it reads its key, for as long as the file HOLD_FILE exists.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int open64(const char *path, int flags, ...) {
    static const char KEY[] = "/identity.key";
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    size_t length = strlen(path), key = sizeof(KEY) - 1;
    const char *file = getenv("HOLD_FILE");
    if (file && length > key && strcmp(path + length - key, KEY) == 0)
        while (access(file, F_OK) == 0) usleep(2000);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    return real(path, flags, mode);
}
