// A page's use of Pipecat's client, as its documentation shows it. The transport's default media manager downloads
// code at run time; the other one that it exports does not.
import { PipecatClient, RTVIEvent } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";

window.told = []; // [event, data] in order

window.newClient = (transportOptions = {}) => {
  const transport = new SmallWebRTCTransport({ mediaManager: new WavMediaManager(), ...transportOptions });
  const client = new PipecatClient({ transport, enableMic: true, enableCam: false });
  for (const name of Object.values(RTVIEvent)) {
    client.on(name, (data) => {
      if (name === RTVIEvent.TrackStarted) return play(data);
      if (!name.endsWith("AudioLevel")) window.told.push([name, data ?? null]);
    });
  }
  return (window.client = client);
};

window.inboundAudio = async () => {
  const reports = [...(await window.client.transport.pc.getStats()).values()];
  return reports.find((report) => report.type === "inbound-rtp" && report.kind === "audio") ?? null;
};

function play(track) {
  const audio = new Audio();
  audio.srcObject = new MediaStream([track]);
  audio.play();
}
