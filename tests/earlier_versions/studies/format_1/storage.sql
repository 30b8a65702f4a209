BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE hpo_clocks (
	study_id INTEGER NOT NULL, 
	busy_ms BIGINT NOT NULL, 
	device_ms BIGINT DEFAULT 0 NOT NULL, 
	seen_ms BIGINT NOT NULL, 
	PRIMARY KEY (study_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "hpo_clocks" VALUES(1,1706,1706,1795975273070);
INSERT INTO "hpo_clocks" VALUES(2,592,592,1795975475400);
INSERT INTO "hpo_clocks" VALUES(3,1807,1807,1795975642215);
CREATE TABLE hpo_deleted (
	study_uuid VARCHAR(64) NOT NULL, 
	store_id VARCHAR(64) NOT NULL, 
	PRIMARY KEY (study_uuid, store_id)
);
CREATE TABLE hpo_leases (
	trial_id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	worker_id VARCHAR(64) NOT NULL, 
	token VARCHAR(32) NOT NULL, 
	beat INTEGER NOT NULL, 
	lease_ms BIGINT NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id) ON DELETE CASCADE
);
CREATE TABLE hpo_version (
	id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hpo_version" VALUES(1,2);
CREATE TABLE hpo_workers (
	worker_id VARCHAR(64) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	pid INTEGER NOT NULL, 
	device VARCHAR(255) NOT NULL, 
	share FLOAT DEFAULT 1 NOT NULL, 
	PRIMARY KEY (worker_id)
);
INSERT INTO "hpo_workers" VALUES('vm:27926:12d947e1','vm',27926,'AMD EPYC',1.0);
INSERT INTO "hpo_workers" VALUES('vm:28490:0f2fe78b','vm',28490,'AMD EPYC',1.0);
INSERT INTO "hpo_workers" VALUES('vm:2417:55182137','vm',2417,'AMD EPYC',1.0);
INSERT INTO "hpo_workers" VALUES('vm:5866:82332bc5','vm',5866,'AMD EPYC',1.0);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'binary');
INSERT INTO "studies" VALUES(2,'multiclass');
INSERT INTO "studies" VALUES(3,'regression');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',2,0);
INSERT INTO "study_directions" VALUES(3,'MINIMIZE',3,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'hpo:definition','"{\"budget\":{\"max_attempts\":5,\"n_trials\":4},\"data\":{\"categorical\":[\"code\"],\"drop\":[],\"fingerprint\":\"2d38e37d33cdd8e4c34e1d467863097d9b276381b730b0ccfe7f14cbdc578b63\",\"numeric\":[],\"source\":\"/tmp/tables/binary.csv\",\"split\":{\"seed\":0,\"test\":0.2,\"val\":0.2},\"target\":\"left\",\"task\":\"binary\"},\"name\":\"binary\",\"objective\":{\"metric\":\"f1\"},\"pruner\":{\"interval_steps\":1,\"n_startup_trials\":5,\"n_warmup_steps\":5,\"name\":\"median\"},\"sampler\":{\"name\":\"random\",\"seed\":0},\"search_space\":{\"model\":{\"depth\":1,\"width\":{\"high\":8,\"low\":4,\"type\":\"int\"}},\"optimizer\":{\"learning_rate\":{\"high\":0.1,\"log\":true,\"low\":0.001,\"type\":\"float\"}},\"preprocessing\":{\"numeric\":{\"choices\":[\"quantile\",\"standard\"],\"type\":\"categorical\"}},\"training\":{\"batch_size\":{\"choices\":[32,1],\"type\":\"categorical\"},\"max_epochs\":{\"default\":20,\"high\":200,\"low\":4,\"type\":\"int\"},\"patience\":200}}}"');
INSERT INTO "study_system_attributes" VALUES(2,1,'hpo:uuid','"7af249e7-0ec5-4d7a-9cfe-861c8937b879"');
INSERT INTO "study_system_attributes" VALUES(3,1,'hpo:artifacts','"5473239c-2167-4e0d-9548-5034810e2a82"');
INSERT INTO "study_system_attributes" VALUES(4,1,'hpo:version','"0.1.0"');
INSERT INTO "study_system_attributes" VALUES(5,1,'hpo:format','1');
INSERT INTO "study_system_attributes" VALUES(6,2,'hpo:definition','"{\"budget\":{\"max_attempts\":5,\"n_trials\":3},\"data\":{\"categorical\":[],\"drop\":[],\"fingerprint\":\"ea4a4bfcabb59649b5bc480123e4d39ce5e2a86576acaa6ead3d334870a34871\",\"numeric\":[],\"source\":\"/tmp/tables/multiclass.csv\",\"split\":{\"seed\":0,\"test\":0.2,\"val\":0.2},\"target\":\"grade\",\"task\":\"multiclass\"},\"name\":\"multiclass\",\"objective\":{\"metric\":\"log_loss\"},\"pruner\":{\"interval_steps\":1,\"n_startup_trials\":5,\"n_warmup_steps\":5,\"name\":\"median\"},\"sampler\":{\"name\":\"random\",\"seed\":0},\"search_space\":{\"model\":{\"depth\":1,\"width\":{\"high\":8,\"low\":4,\"type\":\"int\"}},\"optimizer\":{\"learning_rate\":{\"high\":0.1,\"log\":true,\"low\":0.001,\"type\":\"float\"}},\"preprocessing\":{\"numeric\":{\"choices\":[\"quantile\",\"standard\"],\"type\":\"categorical\"}},\"training\":{\"batch_size\":{\"choices\":[32,1],\"type\":\"categorical\"},\"max_epochs\":{\"default\":20,\"high\":200,\"low\":4,\"type\":\"int\"},\"patience\":200}}}"');
INSERT INTO "study_system_attributes" VALUES(7,2,'hpo:uuid','"5b3e5577-a79f-4f29-9efa-f88afefcb86d"');
INSERT INTO "study_system_attributes" VALUES(8,2,'hpo:artifacts','"5473239c-2167-4e0d-9548-5034810e2a82"');
INSERT INTO "study_system_attributes" VALUES(9,2,'hpo:version','"0.1.0"');
INSERT INTO "study_system_attributes" VALUES(10,2,'hpo:format','1');
INSERT INTO "study_system_attributes" VALUES(11,3,'hpo:definition','"{\"budget\":{\"max_attempts\":5,\"n_trials\":3},\"data\":{\"categorical\":[],\"drop\":[],\"fingerprint\":\"ddd23a5e5eb7c89cccca4b0a6358c1d5e3506071b56093cc7367ec49e075a4f6\",\"numeric\":[],\"source\":\"/tmp/tables/regression.parquet\",\"split\":{\"seed\":0,\"test\":0.2,\"val\":0.2},\"target\":\"total\",\"task\":\"regression\"},\"name\":\"regression\",\"objective\":{\"metric\":\"rmse\"},\"pruner\":{\"interval_steps\":1,\"n_startup_trials\":5,\"n_warmup_steps\":5,\"name\":\"median\"},\"sampler\":{\"name\":\"random\",\"seed\":0},\"search_space\":{\"model\":{\"depth\":1,\"width\":{\"high\":8,\"low\":4,\"type\":\"int\"}},\"optimizer\":{\"learning_rate\":{\"high\":0.1,\"log\":true,\"low\":0.001,\"type\":\"float\"}},\"preprocessing\":{\"numeric\":{\"choices\":[\"quantile\",\"standard\"],\"type\":\"categorical\"}},\"training\":{\"batch_size\":{\"choices\":[32,1],\"type\":\"categorical\"},\"max_epochs\":{\"default\":20,\"high\":200,\"low\":4,\"type\":\"int\"},\"patience\":200}}}"');
INSERT INTO "study_system_attributes" VALUES(12,3,'hpo:uuid','"03a71116-4f34-4339-a323-227db0aeae51"');
INSERT INTO "study_system_attributes" VALUES(13,3,'hpo:artifacts','"5473239c-2167-4e0d-9548-5034810e2a82"');
INSERT INTO "study_system_attributes" VALUES(14,3,'hpo:version','"0.1.0"');
INSERT INTO "study_system_attributes" VALUES(15,3,'hpo:format','1');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,0.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,0.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,3,0.32,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,1,4,7.05882352941176516303e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,1,5,7.89473684210526327476e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,1,6,0.85,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,1,7,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,1,8,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,1,9,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,1,10,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,1,11,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,1,12,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,1,13,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,1,14,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,1,15,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(16,1,16,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(17,1,17,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(18,1,18,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(19,1,19,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(20,1,20,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(21,2,1,9.44444444444444419772e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(22,2,2,9.44444444444444419772e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(23,2,3,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(24,2,4,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(25,2,5,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(26,2,6,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(27,2,7,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(28,2,8,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(29,2,9,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(30,2,10,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(31,2,11,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(32,2,12,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(33,2,13,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(34,2,14,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(35,2,15,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(36,2,16,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(37,2,17,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(38,2,18,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(39,2,19,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(40,2,20,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(41,2,21,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(42,2,22,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(43,2,23,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(44,2,24,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(45,2,25,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(46,2,26,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(47,2,27,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(48,2,28,9.44444444444444419772e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(49,2,29,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(50,2,30,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(51,2,31,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(52,2,32,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(53,2,33,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(54,2,34,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(55,2,35,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(56,2,36,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(57,2,37,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(58,2,38,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(59,2,39,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(60,2,40,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(61,2,41,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(62,2,42,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(63,2,43,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(64,2,44,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(65,2,45,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(66,2,46,8.66666666666666696272e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(67,3,1,0.85,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(68,3,2,8.2926829268292678865e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(69,3,3,0.85,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(70,3,4,8.71794871794871806258e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(71,3,5,0.918918918918919,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(72,3,6,9.44444444444444419772e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(73,3,7,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(74,3,8,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(75,3,9,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(76,3,10,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(77,3,11,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(78,3,12,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(79,3,13,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(80,3,14,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(81,3,15,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(82,3,16,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(83,3,17,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(84,3,18,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(85,3,19,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(86,3,20,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(87,3,21,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(88,3,22,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(89,3,23,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(90,3,24,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(91,3,25,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(92,3,26,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(93,3,27,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(94,3,28,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(95,3,29,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(96,3,30,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(97,3,31,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(98,3,32,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(99,3,33,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(100,3,34,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(101,3,35,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(102,3,36,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(103,3,37,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(104,3,38,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(105,3,39,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(106,3,40,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(107,3,41,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(108,3,42,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(109,3,43,9.0909090909090906063e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(110,3,44,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(111,3,45,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(112,3,46,9.0909090909090906063e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(113,3,47,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(114,3,48,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(115,3,49,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(116,3,50,9.0909090909090906063e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(117,3,51,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(118,3,52,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(119,3,53,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(120,3,54,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(121,3,55,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(122,3,56,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(123,3,57,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(124,3,58,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(125,3,59,9.0909090909090906063e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(126,3,60,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(127,3,61,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(128,3,62,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(129,3,63,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(130,3,64,0.9375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(131,3,65,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(132,3,66,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(133,3,67,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(134,3,68,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(135,3,69,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(136,3,70,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(137,3,71,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(138,3,72,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(139,3,73,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(140,3,74,9.03225806451612878156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(141,3,75,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(142,3,76,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(143,3,77,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(144,3,78,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(145,3,79,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(146,3,80,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(147,3,81,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(148,3,82,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(149,3,83,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(150,3,84,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(151,3,85,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(152,3,86,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(153,3,87,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(154,3,88,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(155,3,89,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(156,3,90,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(157,3,91,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(158,3,92,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(159,3,93,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(160,3,94,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(161,3,95,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(162,3,96,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(163,3,97,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(164,3,98,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(165,3,99,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(166,3,100,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(167,3,101,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(168,3,102,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(169,3,103,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(170,3,104,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(171,3,105,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(172,3,106,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(173,3,107,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(174,3,108,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(175,3,109,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(176,3,110,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(177,3,111,1.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(178,3,112,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(179,3,113,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(180,3,114,9.69696969696969723884e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(181,3,115,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(182,3,116,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(183,3,117,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(184,3,118,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(185,3,119,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(186,3,120,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(187,3,121,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(188,3,122,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(189,3,123,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(190,3,124,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(191,3,125,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(192,3,126,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(193,3,127,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(194,3,128,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(195,3,129,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(196,3,130,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(197,3,131,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(198,3,132,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(199,3,133,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(200,3,134,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(201,3,135,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(202,3,136,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(203,3,137,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(204,3,138,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(205,3,139,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(206,3,140,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(207,3,141,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(208,3,142,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(209,3,143,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(210,3,144,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(211,3,145,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(212,3,146,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(213,3,147,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(214,3,148,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(215,3,149,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(216,3,150,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(217,3,151,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(218,3,152,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(219,3,153,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(220,3,154,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(221,3,155,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(222,3,156,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(223,3,157,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(224,3,158,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(225,3,159,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(226,3,160,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(227,3,161,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(228,3,162,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(229,3,163,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(230,3,164,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(231,3,165,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(232,3,166,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(233,3,167,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(234,3,168,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(235,3,169,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(236,3,170,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(237,3,171,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(238,3,172,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(239,3,173,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(240,3,174,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(241,3,175,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(242,3,176,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(243,3,177,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(244,3,178,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(245,3,179,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(246,3,180,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(247,3,181,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(248,3,182,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(249,3,183,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(250,3,184,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(251,3,185,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(252,3,186,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(253,3,187,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(254,3,188,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(255,3,189,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(256,3,190,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(257,3,191,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(258,3,192,9.71428571428571419055e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(259,3,193,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(260,3,194,9.41176470588235281056e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(261,4,1,1.11632413327053625629e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(262,4,2,1.09351420039033353504e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(263,4,3,1.07317229439265138246e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(264,4,4,1.05237460586065378898e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(265,4,5,1.02997716303239239543e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(266,4,6,1.00790923690450617833e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(267,4,7,9.83535800318103281547e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(268,4,8,9.55599876701723638383e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(269,4,9,9.25798734346467866451e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(270,4,10,8.93720714586451081551e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(271,4,11,8.58650315884996295778e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(272,4,12,8.22076536017165460101e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(273,4,13,7.86005326199139542353e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(274,4,14,7.5138361010623555547e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(275,4,15,7.18389933445913730913e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(276,4,16,6.85567663702971508143e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(277,4,17,6.53162995447758243372e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(278,4,18,6.22099631731504509879e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(279,4,19,5.9162550741651143138e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(280,4,20,5.64572684970585325636e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(281,5,1,5.43743056972197602583e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(282,5,2,8.80333418301946085682e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(283,5,3,1.80468596739635556147e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(284,5,4,9.85169349999089755121e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(285,5,5,3.88216915577416166183e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(286,5,6,0.606143853038592,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(287,5,7,2.35644005685459401178e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(288,5,8,1.02141613617396442847e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(289,5,9,6.27139709990429339292e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(290,5,10,3.90589426822600283006e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(291,5,11,3.2712085752827785301e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(292,5,12,1.32397030952141503412e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(293,5,13,1.50638354768005494621e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(294,5,14,2.40265154629781707562e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(295,5,15,8.16590399414567791325e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(296,5,16,7.87498461448549069707e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(297,5,17,5.94988199511351512072e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(298,5,18,7.10257883193902261886e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(299,5,19,0.0983435191174886,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(300,5,20,0.634972200766326,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(301,5,21,6.2230170320710975762e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(302,5,22,0.898617335046508,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(303,5,23,7.68198502952890716066e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(304,5,24,3.54093155177986285142e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(305,5,25,6.95840238951470513306e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(306,5,26,8.23788679707683102471e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(307,5,27,1.1274486677255384226e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(308,5,28,5.21889901871954164924e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(309,5,29,1.95327550490914170211e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(310,5,30,6.66862759073196476045e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(311,5,31,1.41301537978975133569e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(312,5,32,2.44919527629881977892e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(313,5,33,8.72475102158781629091e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(314,5,34,3.3334655229353388206e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(315,5,35,5.51793275827470730554e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(316,5,36,1.10543966215488564941e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(317,5,37,0.165864632334263,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(318,5,38,4.00712472751598214326e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(319,5,39,4.67663678407718441665e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(320,5,40,4.70621868964546330449e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(321,5,41,8.14147003267529201231e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(322,5,42,1.10786552919547739981e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(323,5,43,6.34932786990917485958e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(324,5,44,1.42732396031920560908e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(325,5,45,2.43299053478758492419e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(326,5,46,3.11052183649825286781e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(327,6,1,1.16180798231050926006e+03,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(328,6,2,1.09286380079077434859e+03,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(329,6,3,1.02912890250620830555e+03,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(330,6,4,9.81495019942514204582e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(331,6,5,9.49980788594125556342e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(332,6,6,9.15194669194246216651e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(333,6,7,869.466158968239,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(334,6,8,8.12839923353494327781e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(335,6,9,7.3660875076314857781e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(336,6,10,6.53345319004795896953e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(337,6,11,571.604854226239,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(338,6,12,4.92251645993589761465e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(339,6,13,4.16800313815964614157e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(340,6,14,3.46844414649613213435e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(341,6,15,2.87609949555103526106e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(342,6,16,240.593522190274,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(343,6,17,2.09370106368690045428e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(344,6,18,1.92317648280570637096e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(345,6,19,1.83499005695251213403e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(346,6,20,1.8263882291624219078e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(347,7,1,3.46671757039575197719e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(348,7,2,3.98203172668969102698e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(349,7,3,2.21913492480601917114e+03,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(350,7,4,4.80281694374174264808e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(351,7,5,3.36135489984251933036e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(352,7,6,2.31582036488203101497e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(353,7,7,4.77756810699841935261e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(354,7,8,4.70541871399855892842e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(355,7,9,7.31244191551506105518e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(356,7,10,630.397276595247,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(357,7,11,776.533842247929,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(358,7,12,4.05634098857285096094e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(359,7,13,3.07740613119185184125e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(360,7,14,6.0131883819996323837e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(361,7,15,4.61830855789798590651e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(362,7,16,4.46778631868589343406e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(363,7,17,2.18466199575248282366e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(364,7,18,3.76730320825538456119e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(365,7,19,2.70752347034861486465e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(366,7,20,3.16125463889372269941e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(367,7,21,4.99498067246860955482e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(368,7,22,2.97637649653965070239e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(369,7,23,4.81241788709202353421e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(370,7,24,593.713058960821,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(371,7,25,2.7656390462802437468e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(372,7,26,1.97192976283199357112e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(373,7,27,3.10045190532153128507e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(374,7,28,703.366212184224,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(375,7,29,3.86221722173665852999e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(376,7,30,2.4094799091540869539e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(377,7,31,5.77434997229463647288e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(378,7,32,4.91059293379381870195e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(379,7,33,3.75961476888912386577e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(380,7,34,3.49195558543178719902e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(381,7,35,5.8024129508371470364e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(382,7,36,3.41614859050707934777e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(383,7,37,3.21087880164185094137e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(384,7,38,5.12688762587129190232e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(385,7,39,1.50419147660496179243e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(386,7,40,2.32683305548003261254e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(387,7,41,1.64618058498814974653e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(388,7,42,5.60368768733812771653e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(389,7,43,2.12878949460038512596e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(390,7,44,3.17436992619071361326e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(391,7,45,1.90572794625228539196e+02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(392,7,46,8.53476023442454902537e+02,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'model.width',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(2,1,'optimizer.learning_rate',1.00000000000000036776e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(3,1,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(4,1,'training.batch_size',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(5,1,'training.max_epochs',20.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
INSERT INTO "trial_params" VALUES(6,2,'model.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(7,2,'optimizer.learning_rate',8.24890411571468917806e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(8,2,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(9,2,'training.batch_size',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(10,2,'training.max_epochs',46.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
INSERT INTO "trial_params" VALUES(11,3,'model.width',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(12,3,'optimizer.learning_rate',5.7126866803304593087e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(13,3,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(14,3,'training.batch_size',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(15,3,'training.max_epochs',200.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
INSERT INTO "trial_params" VALUES(16,4,'model.width',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(17,4,'optimizer.learning_rate',1.00000000000000036776e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(18,4,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(19,4,'training.batch_size',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(20,4,'training.max_epochs',20.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
INSERT INTO "trial_params" VALUES(21,5,'model.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(22,5,'optimizer.learning_rate',8.24890411571468917806e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(23,5,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(24,5,'training.batch_size',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(25,5,'training.max_epochs',46.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
INSERT INTO "trial_params" VALUES(26,6,'model.width',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(27,6,'optimizer.learning_rate',1.00000000000000036776e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(28,6,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(29,6,'training.batch_size',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(30,6,'training.max_epochs',20.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
INSERT INTO "trial_params" VALUES(31,7,'model.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 8}}');
INSERT INTO "trial_params" VALUES(32,7,'optimizer.learning_rate',8.24890411571468917806e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(33,7,'preprocessing.numeric',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["quantile", "standard"]}}');
INSERT INTO "trial_params" VALUES(34,7,'training.batch_size',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 1]}}');
INSERT INTO "trial_params" VALUES(35,7,'training.max_epochs',46.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 200}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"preprocessing.numeric": "quantile", "model.width": 6, "optimizer.learning_rate": 0.010000000000000004, "training.batch_size": 32, "training.max_epochs": 20}');
INSERT INTO "trial_system_attributes" VALUES(2,3,'fixed_params','{"training.batch_size": 1, "training.max_epochs": 200}');
INSERT INTO "trial_system_attributes" VALUES(3,4,'fixed_params','{"preprocessing.numeric": "quantile", "model.width": 6, "optimizer.learning_rate": 0.010000000000000004, "training.batch_size": 32, "training.max_epochs": 20}');
INSERT INTO "trial_system_attributes" VALUES(4,6,'fixed_params','{"preprocessing.numeric": "quantile", "model.width": 6, "optimizer.learning_rate": 0.010000000000000004, "training.batch_size": 32, "training.max_epochs": 20}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(2,1,'worker','"vm:27926:12d947e1"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(4,1,'n_epochs','20');
INSERT INTO "trial_user_attributes" VALUES(5,1,'n_steps','60');
INSERT INTO "trial_user_attributes" VALUES(6,1,'seconds','0.009346402999653947');
INSERT INTO "trial_user_attributes" VALUES(7,1,'n_threads','1');
INSERT INTO "trial_user_attributes" VALUES(8,1,'precision','"float32"');
INSERT INTO "trial_user_attributes" VALUES(9,1,'torch','"2.13.0+cpu"');
INSERT INTO "trial_user_attributes" VALUES(10,1,'slots','1');
INSERT INTO "trial_user_attributes" VALUES(11,1,'metrics','{"accuracy": 0.75, "balanced_accuracy": 0.5714285714285714, "f1": 0.85, "roc_auc": 0.46218487394957986, "log_loss": 0.6293790036869952}');
INSERT INTO "trial_user_attributes" VALUES(12,1,'artifact','"studies/7af249e7-0ec5-4d7a-9cfe-861c8937b879/trial-00000/attempt-1/model.safetensors"');
INSERT INTO "trial_user_attributes" VALUES(13,1,'sha256','"848e5c9906c4f4d384f966c0750648f32721e071c959b1f25941aab9fbae959d"');
INSERT INTO "trial_user_attributes" VALUES(14,2,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(15,2,'worker','"vm:27926:12d947e1"');
INSERT INTO "trial_user_attributes" VALUES(16,2,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(17,2,'n_epochs','46');
INSERT INTO "trial_user_attributes" VALUES(18,2,'n_steps','3312');
INSERT INTO "trial_user_attributes" VALUES(19,2,'seconds','0.1788760539998293');
INSERT INTO "trial_user_attributes" VALUES(20,2,'n_threads','1');
INSERT INTO "trial_user_attributes" VALUES(21,2,'precision','"float32"');
INSERT INTO "trial_user_attributes" VALUES(22,2,'torch','"2.13.0+cpu"');
INSERT INTO "trial_user_attributes" VALUES(23,2,'slots','1');
INSERT INTO "trial_user_attributes" VALUES(24,2,'metrics','{"accuracy": 1.0, "balanced_accuracy": 1.0, "f1": 1.0, "roc_auc": 1.0, "log_loss": 0.05713890498157679}');
INSERT INTO "trial_user_attributes" VALUES(25,2,'artifact','"studies/7af249e7-0ec5-4d7a-9cfe-861c8937b879/trial-00001/attempt-1/model.safetensors"');
INSERT INTO "trial_user_attributes" VALUES(26,2,'sha256','"ff15dedb764791371ec3560558973e5c35aa5826cb994164b6e307d52fa04368"');
INSERT INTO "trial_user_attributes" VALUES(27,3,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(28,3,'worker','"vm:28490:0f2fe78b"');
INSERT INTO "trial_user_attributes" VALUES(29,3,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(30,3,'earlier_attempts','[{"worker": "vm:28490:0f2fe78b", "device": "AMD EPYC", "ended": "released"}]');
INSERT INTO "trial_user_attributes" VALUES(31,4,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(32,4,'worker','"vm:2417:55182137"');
INSERT INTO "trial_user_attributes" VALUES(33,4,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(34,4,'n_epochs','20');
INSERT INTO "trial_user_attributes" VALUES(35,4,'n_steps','60');
INSERT INTO "trial_user_attributes" VALUES(36,4,'seconds','0.008364600000277278');
INSERT INTO "trial_user_attributes" VALUES(37,4,'n_threads','1');
INSERT INTO "trial_user_attributes" VALUES(38,4,'precision','"float32"');
INSERT INTO "trial_user_attributes" VALUES(39,4,'torch','"2.13.0+cpu"');
INSERT INTO "trial_user_attributes" VALUES(40,4,'slots','1');
INSERT INTO "trial_user_attributes" VALUES(41,4,'metrics','{"accuracy": 0.75, "balanced_accuracy": 0.75, "f1": 0.7010270774976656, "roc_auc": 0.9895833333333334, "log_loss": 0.5645726849705853}');
INSERT INTO "trial_user_attributes" VALUES(42,4,'artifact','"studies/5b3e5577-a79f-4f29-9efa-f88afefcb86d/trial-00000/attempt-1/model.safetensors"');
INSERT INTO "trial_user_attributes" VALUES(43,4,'sha256','"57b98a07a277522e7ad2a6538ac09af450be51b825d59ac7c18cb0f059daf054"');
INSERT INTO "trial_user_attributes" VALUES(44,5,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(45,5,'worker','"vm:2417:55182137"');
INSERT INTO "trial_user_attributes" VALUES(46,5,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(47,5,'n_epochs','46');
INSERT INTO "trial_user_attributes" VALUES(48,5,'n_steps','3358');
INSERT INTO "trial_user_attributes" VALUES(49,5,'seconds','0.21040049699968222');
INSERT INTO "trial_user_attributes" VALUES(50,5,'n_threads','1');
INSERT INTO "trial_user_attributes" VALUES(51,5,'precision','"float32"');
INSERT INTO "trial_user_attributes" VALUES(52,5,'torch','"2.13.0+cpu"');
INSERT INTO "trial_user_attributes" VALUES(53,5,'slots','1');
INSERT INTO "trial_user_attributes" VALUES(54,5,'metrics','{"accuracy": 0.9583333333333334, "balanced_accuracy": 0.9583333333333334, "f1": 0.9581699346405229, "roc_auc": 1.0, "log_loss": 0.08724751021587816}');
INSERT INTO "trial_user_attributes" VALUES(55,5,'artifact','"studies/5b3e5577-a79f-4f29-9efa-f88afefcb86d/trial-00001/attempt-1/model.safetensors"');
INSERT INTO "trial_user_attributes" VALUES(56,5,'sha256','"0c48af633f8f347bfab7037768c8330a2943bd68c491ad1fbd081f88aeb77d47"');
INSERT INTO "trial_user_attributes" VALUES(57,6,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(58,6,'worker','"vm:5866:82332bc5"');
INSERT INTO "trial_user_attributes" VALUES(59,6,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(60,6,'n_epochs','20');
INSERT INTO "trial_user_attributes" VALUES(61,6,'n_steps','60');
INSERT INTO "trial_user_attributes" VALUES(62,6,'seconds','0.007136157999866555');
INSERT INTO "trial_user_attributes" VALUES(63,6,'n_threads','1');
INSERT INTO "trial_user_attributes" VALUES(64,6,'precision','"float32"');
INSERT INTO "trial_user_attributes" VALUES(65,6,'torch','"2.13.0+cpu"');
INSERT INTO "trial_user_attributes" VALUES(66,6,'slots','1');
INSERT INTO "trial_user_attributes" VALUES(67,6,'metrics','{"rmse": 182.6388229162422, "mae": 125.1015625, "r2": 0.9772897347509892}');
INSERT INTO "trial_user_attributes" VALUES(68,6,'artifact','"studies/03a71116-4f34-4339-a323-227db0aeae51/trial-00000/attempt-1/model.safetensors"');
INSERT INTO "trial_user_attributes" VALUES(69,6,'sha256','"a591dc0424575c7fc137ffa776feb5cf480d93444f9dbf92dcf83a7f63a5f781"');
INSERT INTO "trial_user_attributes" VALUES(70,7,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(71,7,'worker','"vm:5866:82332bc5"');
INSERT INTO "trial_user_attributes" VALUES(72,7,'device','"AMD EPYC"');
INSERT INTO "trial_user_attributes" VALUES(73,7,'n_epochs','46');
INSERT INTO "trial_user_attributes" VALUES(74,7,'n_steps','3312');
INSERT INTO "trial_user_attributes" VALUES(75,7,'seconds','0.5579347909997523');
INSERT INTO "trial_user_attributes" VALUES(76,7,'n_threads','1');
INSERT INTO "trial_user_attributes" VALUES(77,7,'precision','"float32"');
INSERT INTO "trial_user_attributes" VALUES(78,7,'torch','"2.13.0+cpu"');
INSERT INTO "trial_user_attributes" VALUES(79,7,'slots','1');
INSERT INTO "trial_user_attributes" VALUES(80,7,'metrics','{"rmse": 150.41914766049618, "mae": 132.33203125, "r2": 0.9845956898349069}');
INSERT INTO "trial_user_attributes" VALUES(81,7,'artifact','"studies/03a71116-4f34-4339-a323-227db0aeae51/trial-00001/attempt-1/model.safetensors"');
INSERT INTO "trial_user_attributes" VALUES(82,7,'sha256','"7010ad4d78c7bc5a3e3ccc6a274e9dd4c69699a390a6a74f9184f21013627678"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.85,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,1.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,4,0,5.64572684970585325636e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,5,0,8.72475102158781629091e-02,'FINITE');
INSERT INTO "trial_values" VALUES(5,6,0,1.8263882291624219078e+02,'FINITE');
INSERT INTO "trial_values" VALUES(6,7,0,1.50419147660496179243e+02,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-29 18:01:05.339457','2026-11-29 18:01:05.741144');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-29 18:01:05.747287','2026-11-29 18:01:05.942820');
INSERT INTO "trials" VALUES(3,2,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(4,0,2,'COMPLETE','2026-11-29 18:04:34.809399','2026-11-29 18:04:35.157912');
INSERT INTO "trials" VALUES(5,1,2,'COMPLETE','2026-11-29 18:04:35.163483','2026-11-29 18:04:35.401688');
INSERT INTO "trials" VALUES(6,0,3,'COMPLETE','2026-11-29 18:07:20.400670','2026-11-29 18:07:21.564322');
INSERT INTO "trials" VALUES(7,1,3,'COMPLETE','2026-11-29 18:07:21.587985','2026-11-29 18:07:22.217271');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_hpo_leases_study_id ON hpo_leases (study_id);
CREATE INDEX hpo_open_trials ON trials (study_id, state, number);
COMMIT;
