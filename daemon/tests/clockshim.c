/* Moves the clocks of one process, as files of seconds say: SHIFT_FILE moves the wall clock, and
   SUSPEND_FILE all clocks that count the time for which a machine is suspended. The file that BOOT_FILE
   names, if there is one, replaces the id of the machine's boot. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long seconds(const char *variable)
{
    const char *path = getenv(variable);
    char text[32] = {0};
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

static long wall_shift(void)
{
    return seconds("SHIFT_FILE") + seconds("SUSPEND_FILE");
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += wall_shift();
    if (!failed && clock == CLOCK_BOOTTIME)
        now->tv_sec += seconds("SUSPEND_FILE");
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += wall_shift();
    return failed;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

static int open_at(const char *path, int flags, mode_t mode)
{
    const char *boot = getenv("BOOT_FILE");
    if (boot && !strcmp(path, "/proc/sys/kernel/random/boot_id") && !access(boot, R_OK))
        path = boot;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_at(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));
