// Pages' use of two WHIP clients, as their documentation shows it.
import { WHIPClient as Eyevinn } from "@eyevinn/whip-web-client";
import { WHIPClient as Medooze } from "whip-whep/whip.js";

const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

window.medooze = async (url, token) => {
  const pc = (window.pc = new RTCPeerConnection());
  const stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
  pc.addTransceiver(stream.getAudioTracks()[0], { direction: "sendrecv", streams: [stream] });
  pc.ontrack = ({ streams, track }) => {
    const audio = new Audio();
    audio.srcObject = streams[0] ?? new MediaStream([track]);
    audio.play();
  };
  window.whip = new Medooze();
  await window.whip.publish(pc, url, token);
};

window.eyevinn = async (url, token) => {
  window.whip = new Eyevinn({ endpoint: url, opts: { authkey: token, iceServers: [] } });
  await window.whip.setIceServersFromEndpoint();
  await window.whip.ingest(await navigator.mediaDevices.getUserMedia({ audio: PLAIN, video: true }));
};
