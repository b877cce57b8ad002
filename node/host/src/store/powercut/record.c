// Preloaded into a process that writes: every change to files under RECORD_DIR, every sync of one and
// what is written to standard output go to RECORD_LOG, in the order in which they happened. A record:
//   what u8 | path length u16 | path | a u64 | b u64 | bytes (b of them for W, N and A)
// W write at a; T truncate to a; B sync number a begins; S it has ended; N rename to the bytes;
// U unlink; M mkdir; A output. Only what was written before B is safe after S.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int lg = -1;
static char dir[512];
static size_t dl;
static uint64_t syncs;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static ssize_t (*r_write)(int, const void *, size_t);
static ssize_t (*r_pwrite)(int, const void *, size_t, off64_t);
static int (*r_fsync)(int), (*r_fdatasync)(int), (*r_ftruncate)(int, off64_t);
static int (*r_rename)(const char *, const char *), (*r_unlink)(const char *);
static int (*r_unlinkat)(int, const char *, int), (*r_mkdir)(const char *, mode_t);

__attribute__((constructor)) static void init(void) {
    if (r_write) return;
    r_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    r_fsync = dlsym(RTLD_NEXT, "fsync");
    r_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    r_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    r_rename = dlsym(RTLD_NEXT, "rename");
    r_unlink = dlsym(RTLD_NEXT, "unlink");
    r_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
    r_mkdir = dlsym(RTLD_NEXT, "mkdir");
    r_write = dlsym(RTLD_NEXT, "write");
    const char *d = getenv("RECORD_DIR"), *l = getenv("RECORD_LOG");
    if (!d || !l || strlen(d) >= sizeof dir) return;
    strcpy(dir, d);
    dl = strlen(dir);
    lg = open(l, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int under(const char *p) { return lg >= 0 && !strncmp(p, dir, dl) && (p[dl] == '/' || !p[dl]); }

static int path(int fd, char *out) {
    char proc[64];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(proc, out, 1000);
    if (n <= 0) return 0;
    out[n] = 0;
    return under(out);
}

static void record(char what, const char *p, uint64_t a, uint64_t b, const void *bytes) {
    uint16_t pl = strlen(p);
    size_t len = 19 + pl + (bytes ? b : 0), done = 0;
    char *r = malloc(len), *q = r;
    *q++ = what;
    memcpy(q, &pl, 2), q += 2;
    memcpy(q, p, pl), q += pl;
    memcpy(q, &a, 8), q += 8;
    memcpy(q, &b, 8), q += 8;
    if (bytes) memcpy(q, bytes, b);
    while (done < len) {
        ssize_t n = r_write(lg, r + done, len - done);
        if (n <= 0) abort();
        done += n;
    }
    free(r);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    init();
    char p[1024];
    if (lg < 0 || !path(fd, p)) return r_pwrite(fd, bytes, n, at);
    pthread_mutex_lock(&mu);
    ssize_t r = r_pwrite(fd, bytes, n, at);
    if (r > 0) record('W', p, at, r, bytes);
    pthread_mutex_unlock(&mu);
    return r;
}
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) { return pwrite64(fd, bytes, n, at); }

ssize_t write(int fd, const void *bytes, size_t n) {
    init();
    char p[1024];
    int ours = lg >= 0 && fd > 2 && path(fd, p);
    if (!ours && (lg < 0 || fd != 1)) return r_write(fd, bytes, n);
    pthread_mutex_lock(&mu);
    ssize_t r = r_write(fd, bytes, n);
    if (r > 0 && ours) record('W', p, lseek64(fd, 0, SEEK_CUR) - r, r, bytes);
    if (r > 0 && !ours) record('A', "", 0, r, bytes);
    pthread_mutex_unlock(&mu);
    return r;
}

ssize_t writev(int fd, const struct iovec *v, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        if (!v[i].iov_len) continue;
        ssize_t r = write(fd, v[i].iov_base, v[i].iov_len);
        if (r < 0) return total ? total : r;
        total += r;
        if ((size_t)r < v[i].iov_len) break;
    }
    return total;
}

static int synced(int fd, int (*call)(int)) {
    char p[1024];
    if (lg < 0 || !path(fd, p)) return call(fd);
    pthread_mutex_lock(&mu);
    uint64_t number = ++syncs;
    record('B', p, number, 0, NULL);
    pthread_mutex_unlock(&mu);
    int r = call(fd);
    if (r) return r;
    pthread_mutex_lock(&mu);
    record('S', p, number, 0, NULL);
    pthread_mutex_unlock(&mu);
    return r;
}
int fsync(int fd) { return init(), synced(fd, r_fsync); }
int fdatasync(int fd) { return init(), synced(fd, r_fdatasync); }

int ftruncate64(int fd, off64_t to) {
    init();
    char p[1024];
    if (lg < 0 || !path(fd, p)) return r_ftruncate(fd, to);
    pthread_mutex_lock(&mu);
    int r = r_ftruncate(fd, to);
    if (!r) record('T', p, to, 0, NULL);
    pthread_mutex_unlock(&mu);
    return r;
}
int ftruncate(int fd, off_t to) { return ftruncate64(fd, to); }

static int named(char what, const char *p, const char *to, int r) {
    if (!r && under(p)) record(what, p, 0, to ? strlen(to) : 0, to);
    pthread_mutex_unlock(&mu);
    return r;
}
int rename(const char *a, const char *b) {
    init();
    pthread_mutex_lock(&mu);
    return named('N', a, b, r_rename(a, b));
}
int unlink(const char *p) {
    init();
    pthread_mutex_lock(&mu);
    return named('U', p, NULL, r_unlink(p));
}
int unlinkat(int fd, const char *name, int flags) {
    init();
    char p[2048];
    size_t n;
    if (lg < 0 || name[0] == '/' || !path(fd, p)) return r_unlinkat(fd, name, flags);
    n = strlen(p);
    snprintf(p + n, sizeof p - n, "/%s", name);
    pthread_mutex_lock(&mu);
    return named('U', p, NULL, r_unlinkat(fd, name, flags));
}
int mkdir(const char *p, mode_t mode) {
    init();
    pthread_mutex_lock(&mu);
    return named('M', p, NULL, r_mkdir(p, mode));
}
