/* An ALSA capture device for tests: an external I/O plug-in that plays a raw file (S16_LE) into whoever
 * records it, with its own clock, so that PortAudio and libasound run as they do on a sound card.
 *
 *   pcm.mic { type virtual_microphone  source "/tmp/in.raw"  rate 48000  channels 2  speed 20  control "/tmp/control" }
 *
 * Files in the control folder play the faults: `unplugged` makes the device vanish (open streams fail with
 * ENODEV, new ones cannot be opened); `overrun` holds the device up for 0.3 s of sound, loses that sound and
 * reports an overrun, once, and is then removed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>

typedef struct {
	snd_pcm_ioplug_t io;
	FILE *source;
	char *control;
	long speed;
	struct timespec started;
	int running;
	double held;
	snd_pcm_uframes_t seen;
} microphone;

#define HOLD 0.3

static int flag(const microphone *mic, const char *name, int consume)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", mic->control, name);
	return consume ? unlink(path) == 0 : access(path, F_OK) == 0;
}

static double elapsed(const microphone *mic)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return mic->speed * ((now.tv_sec - mic->started.tv_sec) + 1e-9 * (now.tv_nsec - mic->started.tv_nsec));
}

static snd_pcm_sframes_t mic_pointer(snd_pcm_ioplug_t *io)
{
	microphone *mic = io->private_data;
	double seconds;
	if (flag(mic, "unplugged", 0)) {
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
		return -ENODEV;
	}
	if (!mic->running)
		return 0;
	seconds = elapsed(mic);
	if (mic->held == 0 && flag(mic, "overrun", 1))
		mic->held = seconds;
	if (mic->held > 0 && seconds < mic->held + HOLD)
		return mic->seen % io->buffer_size;
	if (mic->held > 0) {
		mic->held = 0;
		fseek(mic->source, 2 * io->channels * (long)(HOLD * io->rate), SEEK_CUR);
		return -EPIPE;
	}
	snd_pcm_uframes_t frames = seconds * io->rate;
	if (frames - mic->seen > io->buffer_size)
		return -EPIPE;
	mic->seen = frames;
	return frames % io->buffer_size;
}

static snd_pcm_sframes_t mic_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				      snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	microphone *mic = io->private_data;
	char *to = (char *)areas->addr + (areas->first + areas->step * offset) / 8;
	size_t frame = 2 * io->channels;
	size_t got = fread(to, frame, size, mic->source);
	memset(to + frame * got, 0, frame * (size - got));
	return size;
}

static int mic_start(snd_pcm_ioplug_t *io)
{
	microphone *mic = io->private_data;
	struct itimerspec tick = {{0, 2000000}, {0, 2000000}};
	clock_gettime(CLOCK_MONOTONIC, &mic->started);
	mic->running = 1;
	mic->seen = 0;
	mic->held = 0;
	return timerfd_settime(io->poll_fd, 0, &tick, NULL);
}

static int mic_stop(snd_pcm_ioplug_t *io)
{
	microphone *mic = io->private_data;
	mic->running = 0;
	return 0;
}

static int mic_revents(snd_pcm_ioplug_t *io, struct pollfd *pfd, unsigned int nfds, unsigned short *revents)
{
	unsigned long long ticks;
	(void)nfds;
	if (pfd->revents & POLLIN)
		(void)!read(io->poll_fd, &ticks, sizeof ticks);
	snd_pcm_sframes_t avail = snd_pcm_avail_update(io->pcm);
	*revents = avail < 0 ? POLLERR : avail > 0 ? POLLIN : 0;
	return 0;
}

static int mic_close(snd_pcm_ioplug_t *io)
{
	microphone *mic = io->private_data;
	fclose(mic->source);
	close(io->poll_fd);
	free(mic->control);
	free(mic);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = mic_start,
	.stop = mic_stop,
	.pointer = mic_pointer,
	.transfer = mic_transfer,
	.poll_revents = mic_revents,
	.close = mic_close,
};

static int constrain(snd_pcm_ioplug_t *io, long rate, long channels)
{
	static const unsigned int access_types[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
	static const unsigned int formats[] = {SND_PCM_FORMAT_S16_LE};
	const unsigned int rates[] = {rate};
	int err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access_types);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, formats);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_RATE, 1, rates);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 65536);
	if (err >= 0)
		err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 256, 1 << 20);
	return err;
}

SND_PCM_PLUGIN_DEFINE_FUNC(virtual_microphone)
{
	snd_config_iterator_t i, next;
	const char *source = NULL, *control = NULL;
	long rate = 16000, speed = 1, channels = 1;
	microphone *mic;
	int err;
	(void)root;
	if (stream != SND_PCM_STREAM_CAPTURE)
		return -ENODEV;
	snd_config_for_each(i, next, conf) {
		snd_config_t *n = snd_config_iterator_entry(i);
		const char *id;
		if (snd_config_get_id(n, &id) < 0)
			continue;
		if (!strcmp(id, "source"))
			snd_config_get_string(n, &source);
		else if (!strcmp(id, "control"))
			snd_config_get_string(n, &control);
		else if (!strcmp(id, "rate"))
			snd_config_get_integer(n, &rate);
		else if (!strcmp(id, "channels"))
			snd_config_get_integer(n, &channels);
		else if (!strcmp(id, "speed"))
			snd_config_get_integer(n, &speed);
	}
	if (!source || !control || !(mic = calloc(1, sizeof *mic)))
		return -EINVAL;
	mic->control = strdup(control);
	mic->speed = speed;
	mic->source = fopen(source, "rb");
	if (!mic->source || flag(mic, "unplugged", 0)) {
		if (mic->source)
			fclose(mic->source);
		free(mic->control);
		free(mic);
		return -ENODEV;
	}
	mic->io.version = SND_PCM_IOPLUG_VERSION;
	mic->io.name = "virtual microphone";
	mic->io.callback = &callbacks;
	mic->io.private_data = mic;
	mic->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	mic->io.poll_events = POLLIN;
	mic->io.mmap_rw = 0;
	err = snd_pcm_ioplug_create(&mic->io, name, stream, mode);
	if (err < 0) {
		mic_close(&mic->io);
		return err;
	}
	err = constrain(&mic->io, rate, channels);
	if (err < 0) {
		snd_pcm_ioplug_delete(&mic->io);
		return err;
	}
	*pcmp = mic->io.pcm;
	return 0;
}

SND_PCM_PLUGIN_SYMBOL(virtual_microphone);
