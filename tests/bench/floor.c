/* What recording costs at the very least: one thread, epoll, recv, write. The benchmark's floor, not a recorder.
 *
 *     floor FOLDER RTSP-URL...
 *
 * Speaks as much RTSP over TCP as a camera without a password asks for (OPTIONS, DESCRIBE, SETUP of the video track
 * interleaved, PLAY, and OPTIONS every 20 s to keep the session), then writes what arrives, as it arrives, to
 * FOLDER/cam-N.raw. No packet is looked at, nothing is hashed, synced or indexed. Ends with SIGTERM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (64 * 1024)
#define KEEP_ALIVE_SECONDS 20

struct camera {
    int sock, file, cseq;
    char url[512], session[128];
};

static volatile sig_atomic_t stopping;

static void stop(int number) {
    (void)number;
    stopping = 1;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int dial(const char *url) {
    char host[256];
    int port = 554;
    if (sscanf(url, "rtsp://%255[^:/]:%d", host, &port) < 1) fail(url);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail(host);
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), wide = 1 << 20;
    if (sock < 0) fail("socket");
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &wide, sizeof wide);
    if (connect(sock, (struct sockaddr *)&to, sizeof to)) fail("connect");
    return sock;
}

/* One request, one reply; reads not a byte beyond the reply, which the media may follow at once. */
static void ask(struct camera *camera, const char *method, const char *url, const char *more, char *reply, size_t room) {
    char line[2048];
    char session[160] = "";
    if (camera->session[0]) snprintf(session, sizeof session, "Session: %s\r\n", camera->session);
    int length = snprintf(line, sizeof line, "%s %s RTSP/1.0\r\nCSeq: %d\r\n%s%s\r\n", method, url, ++camera->cseq,
                          session, more);
    if (send(camera->sock, line, (size_t)length, MSG_NOSIGNAL) != length) fail("send");
    size_t got = 0, wanted = 0;
    while (!wanted || got < wanted) {
        ssize_t one = got + 1 < room ? recv(camera->sock, reply + got, 1, 0) : 0;
        if (one != 1) fail(method);
        reply[++got] = 0;
        if (!wanted && got >= 4 && !memcmp(reply + got - 4, "\r\n\r\n", 4)) {
            char *header = strcasestr(reply, "\r\nContent-Length:");
            wanted = got + (header ? strtoul(header + 17, NULL, 10) : 0);
        }
    }
    if (strncmp(reply, "RTSP/1.0 200", 12)) {
        fprintf(stderr, "%s: %.60s\n", method, reply);
        exit(1);
    }
}

/* The video track's address: its a=control below Content-Base (RFC 2326 C.1.1). */
static void track_of(const char *described, const char *url, char *track, size_t room) {
    char base[512];
    const char *header = strcasestr(described, "\r\nContent-Base:"), *video = strstr(described, "\nm=video");
    const char *control = video ? strstr(video, "\na=control:") : NULL;
    if (!control || (header && sscanf(header + 15, " %511[^\r\n]", base) != 1)) fail("DESCRIBE");
    if (!header) snprintf(base, sizeof base, "%s", url);
    char name[512];
    if (sscanf(control + 11, "%511[^\r\n]", name) != 1) fail("a=control");
    size_t end = strlen(base);
    if (!strncmp(name, "rtsp://", 7))
        snprintf(track, room, "%s", name);
    else
        snprintf(track, room, "%s%s%s", base, end && base[end - 1] == '/' ? "" : "/", name);
}

static void start(struct camera *camera, const char *folder, int number, const char *url) {
    static char reply[65536];
    char track[1100], path[4096];
    snprintf(camera->url, sizeof camera->url, "%s", url);
    snprintf(path, sizeof path, "%s/cam-%d.raw", folder, number);
    camera->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (camera->file < 0) fail(path);
    camera->sock = dial(url);
    ask(camera, "OPTIONS", url, "", reply, sizeof reply);
    ask(camera, "DESCRIBE", url, "Accept: application/sdp\r\n", reply, sizeof reply);
    track_of(reply, url, track, sizeof track);
    ask(camera, "SETUP", track, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", reply, sizeof reply);
    const char *header = strcasestr(reply, "\r\nSession:");
    if (!header || sscanf(header + 10, " %127[^;\r\n]", camera->session) != 1) fail("SETUP");
    ask(camera, "PLAY", url, "Range: npt=0.000-\r\n", reply, sizeof reply);
    fcntl(camera->sock, F_SETFL, O_NONBLOCK);
}

static void keep_alive(struct camera *camera) {
    char line[1024];
    int length = snprintf(line, sizeof line, "OPTIONS %s RTSP/1.0\r\nCSeq: %d\r\nSession: %s\r\n\r\n", camera->url,
                          ++camera->cseq, camera->session);
    if (send(camera->sock, line, (size_t)length, MSG_NOSIGNAL) != length) fail("keep-alive");
}

static void drain(struct camera *camera) {
    static char chunk[CHUNK];
    ssize_t got = recv(camera->sock, chunk, sizeof chunk, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) fail("a camera hung up");
    for (ssize_t done = 0; done < got;) {
        ssize_t wrote = write(camera->file, chunk + done, (size_t)(got - done));
        if (wrote < 0) fail("write");
        done += wrote;
    }
}

int main(int count, char **words) {
    if (count < 2) {
        fprintf(stderr, "usage: floor FOLDER RTSP-URL...\n");
        return 2;
    }
    struct sigaction ending = {.sa_handler = stop};
    sigaction(SIGTERM, &ending, NULL);
    int cameras = count - 2, poll = epoll_create1(EPOLL_CLOEXEC);
    struct camera *all = calloc((size_t)cameras + 1, sizeof *all);
    if (poll < 0 || !all) fail("set-up");
    for (int n = 0; n < cameras; n++) {
        start(&all[n], words[1], n, words[n + 2]);
        struct epoll_event wish = {.events = EPOLLIN, .data.ptr = &all[n]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, all[n].sock, &wish)) fail("epoll_ctl");
    }
    time_t renewed = time(NULL);
    while (!stopping) {
        struct epoll_event ready[64];
        int found = epoll_wait(poll, ready, 64, 1000);
        for (int n = 0; n < found; n++) drain(ready[n].data.ptr);
        if (time(NULL) - renewed >= KEEP_ALIVE_SECONDS) {
            renewed = time(NULL);
            for (int n = 0; n < cameras; n++) keep_alive(&all[n]);
        }
    }
    for (int n = 0; n < cameras; n++) {
        char line[1024];
        int length = snprintf(line, sizeof line, "TEARDOWN %s RTSP/1.0\r\nCSeq: %d\r\nSession: %s\r\n\r\n", all[n].url,
                              ++all[n].cseq, all[n].session);
        if (send(all[n].sock, line, (size_t)length, MSG_NOSIGNAL) != length) perror("TEARDOWN");
        close(all[n].sock);
        close(all[n].file);
    }
    return 0;
}
