UPDATE messages SET kind = 'chat' WHERE direction = 'inbound' AND kind = 'text';

DROP TABLE media_downloads;

DROP TABLE poll_votes;

DROP TABLE reactions;
