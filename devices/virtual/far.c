/* A long wire between two networks: delay, jitter, rate and loss, for kernels without netem.
 *
 * far HERE THERE PID DELAY_US JITTER_US BYTES_PER_S LOSS_PPM
 *
 * Makes the interface HERE in this network and THERE in that of process PID, prints "ready", and carries packets between
 * them until it is ended; the interfaces go with it. Each direction waits its own turn at BYTES_PER_S (0: no limit),
 * never overtakes itself, and holds as many packets as a router would.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 8192, LARGEST = 2048, PATIENCE_NS = 500000000 };

struct packet {
    int64_t due;
    int size;
    unsigned char bytes[LARGEST];
};

struct direction {
    struct packet *slots;
    int first, count;
    int64_t wire_free, last_due;
};

static int64_t delay_ns, jitter_ns, rate, loss_ppm;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static int tunnel(const char *name) {
    struct ifreq wanted;
    int file = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) give_up("/dev/net/tun");
    memset(&wanted, 0, sizeof wanted);
    wanted.ifr_flags = IFF_TUN | IFF_NO_PI;
    strncpy(wanted.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(file, TUNSETIFF, &wanted) < 0) give_up(name);
    return file;
}

/* Takes in all packets that wait; what would wait too long for the wire is dropped, as a router drops it. */
static void take_in(struct direction *way, int from) {
    unsigned char bytes[LARGEST];
    ssize_t size;
    while (way->count < SLOTS && (size = read(from, bytes, sizeof bytes)) > 0) {
        int64_t moment = now();
        if (way->wire_free < moment) way->wire_free = moment;
        if (way->wire_free - moment > PATIENCE_NS || random() % 1000000 < loss_ppm) continue;
        if (rate > 0) way->wire_free += (int64_t)size * 1000000000 / rate;
        struct packet *packet = &way->slots[(way->first + way->count++) % SLOTS];
        packet->due = way->wire_free + delay_ns + (jitter_ns > 0 ? random() % jitter_ns : 0);
        if (packet->due < way->last_due) packet->due = way->last_due;
        way->last_due = packet->due;
        packet->size = (int)size;
        memcpy(packet->bytes, bytes, (size_t)size);
    }
}

/* Hands out what is due, and returns when the next packet is, or INT64_MAX. */
static int64_t hand_out(struct direction *way, int to) {
    while (way->count > 0) {
        struct packet *packet = &way->slots[way->first];
        if (packet->due > now()) return packet->due;
        if (write(to, packet->bytes, (size_t)packet->size) < 0) { /* its interface is down: the packet is lost */ }
        way->first = (way->first + 1) % SLOTS;
        way->count--;
    }
    return INT64_MAX;
}

int main(int count, char **words) {
    char path[64];
    struct direction ways[2];
    if (count != 8) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    delay_ns = atoll(words[4]) * 1000, jitter_ns = atoll(words[5]) * 1000;
    rate = atoll(words[6]), loss_ppm = atoll(words[7]);
    srandom((unsigned)getpid());
    int here = tunnel(words[1]);
    snprintf(path, sizeof path, "/proc/%s/ns/net", words[3]);
    int network = open(path, O_RDONLY | O_CLOEXEC);
    if (network < 0 || setns(network, CLONE_NEWNET) < 0) give_up(path);
    int there = tunnel(words[2]);
    memset(ways, 0, sizeof ways);
    for (int i = 0; i < 2; i++)
        if ((ways[i].slots = malloc(sizeof(struct packet) * SLOTS)) == NULL) give_up("memory");
    puts("ready");
    fflush(stdout);
    for (;;) {
        take_in(&ways[0], here);
        take_in(&ways[1], there);
        int64_t next = hand_out(&ways[0], there), other = hand_out(&ways[1], here);
        if (other < next) next = other;
        struct pollfd both[2] = {{here, POLLIN, 0}, {there, POLLIN, 0}};
        int64_t wait = next == INT64_MAX ? 1000000000 : next - now();
        struct timespec patience = {wait > 0 ? wait / 1000000000 : 0, wait > 0 ? wait % 1000000000 : 0};
        ppoll(both, 2, &patience, NULL);
    }
}
